"""How far batches have come, and what of it BatchService must still be told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, bindparam, not_, select, update

from tweezer.job.conditions import has_unfinished, unacknowledged
from tweezer.job.models import QUEUED_BATCH
from tweezer.lifecycle import JobCounts, JobStatus


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a batch has come."""

    seq: int
    batch_id: str
    version: int
    start_at: int | None
    end_at: int | None
    counts: JobCounts


def unreported(connection: Connection, behind: int, limit: int) -> list[Progress]:
    """Returns progress that is not acknowledged, of batches with numbers above `behind`."""
    rows = connection.execute(_UNREPORTED, {"behind": behind, "at_most": limit})
    return [_progress(row) for row in rows]


def any_end_unreported(connection: Connection) -> bool:
    """Says whether there is progress to report of a batch that has no unfinished jobs."""
    return connection.execute(_AN_END).first() is not None


def of_batches(connection: Connection, batch_ids: Sequence[str]) -> list[Progress]:
    """Returns the progress of those of some batches that are known here."""
    rows = connection.execute(_OF_BATCHES, {"of_batches": list(batch_ids)})
    return [_progress(row) for row in rows]


def _progress(row: Sequence[Any]) -> Progress:
    seq, batch_id, version, start_at, end_at, *counts = row
    return Progress(seq, batch_id, version, start_at, end_at, _counts(counts))


def _counts(numbers: Sequence[int]) -> JobCounts:
    named = {status.lower(): number for status, number in zip(JobStatus, numbers, strict=True)}
    return JobCounts(**named)


def acknowledge(connection: Connection, versions: Mapping[str, int]) -> None:
    """Records which version BatchService has of each batch."""
    connection.execute(
        _ACKNOWLEDGE,
        [
            {"of_batch": batch_id, "version": version}
            for batch_id, version in sorted(versions.items())
        ],
    )


_PROGRESS: Final = select(
    QUEUED_BATCH.c.seq,
    QUEUED_BATCH.c.id,
    QUEUED_BATCH.c.progress_version,
    QUEUED_BATCH.c.start_at,
    QUEUED_BATCH.c.end_at,
    *(QUEUED_BATCH.c[status.lower()] for status in JobStatus),
)
_OF_BATCHES: Final = _PROGRESS.where(QUEUED_BATCH.c.id.in_(bindparam("of_batches", expanding=True)))
_UNREPORTED: Final = (
    _PROGRESS.where(unacknowledged(QUEUED_BATCH), QUEUED_BATCH.c.seq > bindparam("behind"))
    .order_by(QUEUED_BATCH.c.seq)
    .limit(bindparam("at_most"))
)
_AN_END: Final = (
    select(QUEUED_BATCH.c.seq)
    .where(unacknowledged(QUEUED_BATCH), not_(has_unfinished(QUEUED_BATCH)))
    .limit(1)
)
_ACKNOWLEDGE: Final = (
    update(QUEUED_BATCH)
    .where(
        QUEUED_BATCH.c.id == bindparam("of_batch"),
        QUEUED_BATCH.c.acknowledged_version < bindparam("version"),
    )
    .values(acknowledged_version=bindparam("version"))
)
