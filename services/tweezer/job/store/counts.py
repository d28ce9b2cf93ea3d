"""The counts of a batch: changed by what happened, in the transaction in which it happened."""

from collections import defaultdict
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Final

from sqlalchemy import Connection, bindparam, func, update

from tweezer.job.models import QUEUED_BATCH
from tweezer.lifecycle import FINAL_JOB_STATUSES, JobStatus


def _more(status: JobStatus) -> str:
    return f"more_{status.lower()}"


_BATCH: Final = QUEUED_BATCH.c

_ADD_TO_COUNTS: Final = (
    update(QUEUED_BATCH)
    .where(_BATCH.id == bindparam("of_batch"))
    .values(
        **{
            status.lower(): _BATCH[status.lower()] + bindparam(_more(status))
            for status in JobStatus
        },
        start_at=func.coalesce(_BATCH.start_at, bindparam("started_at")),
        end_at=func.coalesce(bindparam("ended_at"), _BATCH.end_at),
        progress_version=_BATCH.progress_version + 1,
    )
)
_TAKE_FROM_PENDING: Final = (
    update(QUEUED_BATCH)
    .where(_BATCH.id == bindparam("of_batch"))
    .values(pending=_BATCH.pending - bindparam("number"))
)


@dataclass(slots=True)
class _Change:
    """What happened to the jobs of one batch."""

    by_status: dict[JobStatus, int] = field(default_factory=lambda: dict.fromkeys(JobStatus, 0))
    started: bool = False
    ended: bool = False


class Tally:
    """Collects changes of status, then adds them to the counts of the batches."""

    def __init__(self) -> None:
        self._changes: dict[str, _Change] = defaultdict(_Change)

    def __bool__(self) -> bool:
        return bool(self._changes)

    def moved(self, batch_id: str, source: JobStatus, target: JobStatus) -> None:
        """Records that a job went from one status to another."""
        change = self._changes[batch_id]
        change.by_status[source] -= 1
        change.by_status[target] += 1
        change.started |= target is JobStatus.RUNNING
        change.ended |= target in FINAL_JOB_STATUSES

    def write(self, connection: Connection, now: int) -> None:
        """Writes what was recorded; each batch that is touched has a newer progress."""
        if self._changes:
            changes = sorted(self._changes.items(), key=itemgetter(0))  # all lock rows in one order
            connection.execute(
                _ADD_TO_COUNTS, [_parameters(batch_id, change, now) for batch_id, change in changes]
            )


def drop_pending(connection: Connection, batch_id: str, number: int) -> None:
    """Counts jobs no more that were dropped before they were released; this is no progress."""
    connection.execute(_TAKE_FROM_PENDING, {"of_batch": batch_id, "number": number})


def _parameters(batch_id: str, change: _Change, now: int) -> dict[str, object]:
    return {
        "of_batch": batch_id,
        "started_at": now if change.started else None,
        "ended_at": now if change.ended else None,
        **{_more(status): number for status, number in change.by_status.items()},
    }
