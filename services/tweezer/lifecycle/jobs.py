"""Statuses and events of a job, and the table of what may follow what."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class JobStatus(StrEnum):
    """What a client sees of a job. The words are those of the Pasqal Cloud API."""

    PENDING = "PENDING"  #: waiting for a worker
    RUNNING = "RUNNING"  #: held by a worker
    CANCELING = "CANCELING"  #: cancelled while its worker is being stopped
    DONE = "DONE"  #: finished with a result
    ERROR = "ERROR"  #: failed for good; `errors` says why
    CANCELED = "CANCELED"  #: stopped on request


class JobEvent(StrEnum):
    """What can happen to a job."""

    LEASE = "lease"  #: a worker takes it
    COMPLETE = "complete"  #: the worker brings a result
    FAIL = "fail"  #: the job is wrong: it can never succeed
    LOSE = "lose"  #: the lease ran out or the worker died, and attempts are left
    EXHAUST = "exhaust"  #: the same on the last attempt
    RELEASE = "release"  #: the worker gives it back; costs no attempt
    CANCEL = "cancel"  #: somebody no longer wants it
    STOPPED = "stopped"  #: the worker of a cancelled job is gone


_S, _E = JobStatus, JobEvent

JOB_TRANSITIONS: Final[Mapping[tuple[JobStatus, JobEvent], JobStatus]] = {
    (_S.PENDING, _E.LEASE): _S.RUNNING,
    (_S.PENDING, _E.CANCEL): _S.CANCELED,
    (_S.RUNNING, _E.COMPLETE): _S.DONE,
    (_S.RUNNING, _E.FAIL): _S.ERROR,
    (_S.RUNNING, _E.LOSE): _S.PENDING,
    (_S.RUNNING, _E.EXHAUST): _S.ERROR,
    (_S.RUNNING, _E.RELEASE): _S.PENDING,
    (_S.RUNNING, _E.CANCEL): _S.CANCELING,
    (_S.CANCELING, _E.STOPPED): _S.CANCELED,
}

#: Statuses with no way out.
FINAL_JOB_STATUSES: Final = frozenset(_S) - {source for source, _ in JOB_TRANSITIONS}


class IllegalTransition(Exception):
    """The event is not allowed in the current status."""

    def __init__(self, status: JobStatus, event: JobEvent) -> None:
        super().__init__(f"cannot {event} a job that is {status}")
        self.status, self.event = status, event


def after(status: JobStatus, event: JobEvent) -> JobStatus:
    """Returns the status that follows, or raises IllegalTransition."""
    try:
        return JOB_TRANSITIONS[status, event]
    except KeyError:
        raise IllegalTransition(status, event) from None


def transitions(event: JobEvent) -> Mapping[JobStatus, JobStatus]:
    """Returns the status that follows for each status in which the event is allowed."""
    return {source: target for (source, e), target in JOB_TRANSITIONS.items() if e is event}
