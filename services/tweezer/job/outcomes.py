"""What the end of an attempt means for a job: which event of the life cycle it is."""

from dataclasses import dataclass
from enum import Enum, StrEnum, auto

from tweezer.lifecycle import JobEvent, JobStatus


class Outcome(StrEnum):
    """How a worker says that an attempt ended."""

    RESULT = "result"  #: the job has a result
    FAILURE = "failure"  #: the job can never succeed
    LOST = "lost"  #: the worker process was lost
    STOPPED = "stopped"  #: the work was stopped because a renewal said so
    RELEASED = "released"  #: the job is given back unfinished


class Verdict(Enum):
    """What becomes of an outcome that changes nothing."""

    REPEATED = auto()  #: it was taken in before
    REFUSED = auto()  #: the token no longer holds a job


@dataclass(frozen=True, slots=True)
class HeldJob:
    """What is known of a job when its lease ends."""

    seq: int
    id: str
    batch_id: str
    project_id: str
    status: JobStatus
    ready: bool
    attempt: int
    lease_token: str | None
    ended_token: str | None
    ended_outcome: str | None
    result_key: str | None
    exclusive: bool = False
    device_type: str = ""
    start_at: int | None = None


def judge(
    job: HeldJob | None, token: str, outcome: Outcome, max_attempts: int
) -> JobEvent | Verdict:
    """Returns the event that an outcome is for a job, or why it is none."""
    if job is None:
        return Verdict.REFUSED
    if job.lease_token == token:
        return _event(job, outcome, max_attempts)
    if job.ended_token == token and job.ended_outcome == outcome:
        return Verdict.REPEATED
    return Verdict.REFUSED


def _event(job: HeldJob, outcome: Outcome, max_attempts: int) -> JobEvent:
    if job.status is JobStatus.CANCELING:
        # Nobody wants the job any more: however the attempt ended, the worker has let go of it.
        return JobEvent.STOPPED
    match outcome:
        case Outcome.RESULT:
            return JobEvent.COMPLETE
        case Outcome.FAILURE:
            return JobEvent.FAIL
        case Outcome.RELEASED:
            return JobEvent.RELEASE
        case Outcome.LOST | Outcome.STOPPED:
            # Work that stops without having been asked to costs an attempt like any other loss,
            # or a worker that always does so would get the job for ever.
            return loss(job, max_attempts)


def loss(job: HeldJob, max_attempts: int) -> JobEvent:
    """Returns the event when the worker of a job is gone."""
    if job.status is JobStatus.CANCELING:
        return JobEvent.STOPPED
    return JobEvent.LOSE if job.attempt < max_attempts else JobEvent.EXHAUST


def exhausted(attempts: int, reason: str) -> str:
    """Returns the sentence for a job that lost too many workers."""
    times = f"{attempts} times" if attempts > 1 else "once"
    return f"The worker was lost {times}: {reason}"
