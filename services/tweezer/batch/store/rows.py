"""Rows of batches."""

from typing import Any, Final, NamedTuple

from tweezer.batch.models import BATCH
from tweezer.lifecycle import JobCounts


class BatchRow(NamedTuple):
    """What is shown of a batch, without its sequence."""

    id: str
    parent_id: str | None
    status: str
    open: bool
    device_type: str
    user_id: str
    project_id: str
    created_at: int
    updated_at: int
    start_at: int | None
    end_at: int | None
    jobs_count: int
    running: int
    canceling: int
    done: int
    error: int
    canceled: int
    tags: str
    configuration_json: str | None
    backend_configuration: str | None
    webhook: str | None
    queue_priority: str
    program_hash: str | None
    origin: str

    @property
    def counts(self) -> JobCounts:
        """The job counts, as they are shown."""
        return job_counts(
            self.jobs_count, self.running, self.canceling, self.done, self.error, self.canceled
        )


#: The columns of a BatchRow, in its order.
BATCH_COLUMNS: Final[tuple[Any, ...]] = tuple(BATCH.c[name] for name in BatchRow._fields)


def job_counts(
    jobs_count: int, running: int, canceling: int, done: int, error: int, canceled: int
) -> JobCounts:
    """Returns job counts in which what was not reported otherwise is pending."""
    pending = jobs_count - running - canceling - done - error - canceled
    return JobCounts(pending, running, canceling, done, error, canceled)
