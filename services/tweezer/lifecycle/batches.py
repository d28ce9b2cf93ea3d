"""The status of a batch: a pure function of what was asked for and of its job counts."""

from dataclasses import dataclass
from enum import StrEnum

from tweezer.lifecycle.jobs import JobStatus


class BatchStatus(StrEnum):
    """What a client sees of a batch. The words are those of the Pasqal Cloud API."""

    PENDING = "PENDING"  #: no job has started
    RUNNING = "RUNNING"  #: a job has started and the batch is not final
    DONE = "DONE"  #: closed, and every job is final
    CANCELING = "CANCELING"  #: cancelled while some work is still being stopped
    CANCELED = "CANCELED"  #: cancelled
    TIMED_OUT = "TIMED_OUT"  #: left open without new jobs for too long
    ERROR = "ERROR"  #: every job failed
    PAUSED = "PAUSED"  #: held back by an operator


@dataclass(frozen=True, slots=True)
class BatchIntent:
    """What was asked for."""

    open: bool = False  #: jobs can still be added
    cancelled: bool = False
    timed_out: bool = False
    paused: bool = False


@dataclass(frozen=True, slots=True)
class JobCounts:
    """Number of jobs of a batch in each status."""

    pending: int = 0
    running: int = 0
    canceling: int = 0
    done: int = 0
    error: int = 0
    canceled: int = 0

    @property
    def total(self) -> int:
        """Number of jobs."""
        return self.unfinished + self.done + self.error + self.canceled

    @property
    def unfinished(self) -> int:
        """Number of jobs that are not final."""
        return self.pending + self.running + self.canceling

    def by_status(self) -> dict[JobStatus, int]:
        """Returns the counts of the statuses that occur."""
        counts = {status: getattr(self, status.lower()) for status in JobStatus}
        return {status: count for status, count in counts.items() if count}


def batch_status(intent: BatchIntent, counts: JobCounts) -> BatchStatus:
    """Returns the status of a batch.

    A closed batch with failed jobs is DONE, and ERROR only when every job failed; see
    docs/lifecycle.md for the whole table.
    """
    if counts.unfinished == 0:
        if intent.cancelled:
            return BatchStatus.CANCELED
        if intent.timed_out:
            return BatchStatus.TIMED_OUT
        if not intent.open:
            every_job_failed = counts.total > 0 and counts.error == counts.total
            return BatchStatus.ERROR if every_job_failed else BatchStatus.DONE
    if intent.cancelled:
        return BatchStatus.CANCELING
    if intent.paused:
        return BatchStatus.PAUSED
    started = counts.total > counts.pending
    return BatchStatus.RUNNING if started else BatchStatus.PENDING


#: Statuses that no event leaves.
FINAL_BATCH_STATUSES = frozenset(
    {BatchStatus.DONE, BatchStatus.CANCELED, BatchStatus.TIMED_OUT, BatchStatus.ERROR}
)
