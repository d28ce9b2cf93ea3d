"""A leased job, while it is with this service."""

import asyncio
from dataclasses import dataclass, field
from enum import Enum, auto

from tweezer.internal.v1.lease_service_pb2 import JobOutcome, Released, Stopped


class Ending(Enum):
    """Why a job is taken from its worker."""

    STOPPED = auto()  #: a renewal said that the work must stop
    RELEASED = auto()  #: this service stops


@dataclass(slots=True, eq=False)
class HeldJob:
    """A job between its lease and the acknowledgement of its outcome."""

    token: str
    job_id: str
    progress: int = 0
    work: asyncio.Task[JobOutcome] | None = field(default=None, repr=False)
    """Runs the job; None once its outcome waits to be reported."""
    ending: Ending | None = None

    def end(self, ending: Ending) -> None:
        """Stops the work, unless it is over or stopping already."""
        if self.work is not None and self.ending is None:
            self.ending = ending
            self.work.cancel()

    def ended(self) -> JobOutcome:
        """Returns the outcome of a job whose work was stopped."""
        if self.ending is Ending.STOPPED:
            return JobOutcome(token=self.token, stopped=Stopped())
        return JobOutcome(token=self.token, released=Released())
