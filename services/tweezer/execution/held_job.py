"""A leased job, while it is with this service."""

import asyncio
from dataclasses import dataclass, field
from enum import Enum, auto

from tweezer.execution.engines.place import Place
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
    place: Place | None = None
    """Where it runs, once it does."""
    work: asyncio.Task[JobOutcome] | None = field(default=None, repr=False)
    """Runs the job; None once its outcome waits to be reported."""
    ending: Ending | None = None

    @property
    def stopping(self) -> bool:
        """Whether JobService has said already that the work must stop."""
        return self.ending is Ending.STOPPED

    def end(self, ending: Ending) -> bool:
        """Stops the work, unless it is over or stopping already; returns whether it did."""
        if self.work is None or self.ending is not None:
            return False
        self.ending = ending
        self.work.cancel()
        return True

    def located(self, outcome: JobOutcome) -> JobOutcome:
        """Returns the outcome with where the job has run."""
        if self.place is not None and self.place.slurm_job_id is not None:
            outcome.slurm_job_id = self.place.slurm_job_id
        if self.place is not None and self.place.slurm_cluster_name is not None:
            outcome.slurm_cluster_name = self.place.slurm_cluster_name
        return outcome

    def ended(self) -> JobOutcome:
        """Returns the outcome of a job whose work was stopped."""
        if self.stopping:
            return JobOutcome(token=self.token, stopped=Stopped())
        return JobOutcome(token=self.token, released=Released())
