"""Deletes what is kept of a finished batch."""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, bindparam, delete, select

from tweezer.job.conditions import unfinished
from tweezer.job.models import JOB, QUEUED_ADDITION, QUEUED_BATCH
from tweezer.job.store import history, storage


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What came of the wish to forget a batch."""

    gone: bool  #: nothing of it is in the tables
    project_id: str | None = None  #: whose it was, when this call deleted it
    jobs: int = 0  #: deleted by this call


def forget(connection: Connection, batch_id: str) -> Forgotten:
    """Deletes a batch with its jobs, unless one of them is not final; held jobs are not."""
    batch = connection.execute(_BATCH, {"named": batch_id}).first()
    if batch is None:
        return Forgotten(gone=True)
    project_id, not_final = batch
    if not_final:
        return Forgotten(gone=False)
    jobs = connection.execute(_DELETE_JOBS, {"named": batch_id}).all()
    connection.execute(_DELETE_ADDITIONS, {"named": batch_id})
    connection.execute(_DELETE_BATCH, {"named": batch_id})
    freed = sum(size or 0 for removed_at, size in jobs if removed_at is None)
    storage.count(connection, [(project_id, -freed)])
    if jobs:
        history.rewritten(connection, [project_id])
    return Forgotten(gone=True, project_id=project_id, jobs=len(jobs))


_BATCH: Final = (
    select(QUEUED_BATCH.c.project_id, unfinished(QUEUED_BATCH))
    .where(QUEUED_BATCH.c.id == bindparam("named"))
    .with_for_update()
)
_DELETE_JOBS: Final = (
    delete(JOB)
    .where(JOB.c.batch_id == bindparam("named"))
    # Nothing is computed here: SQLite 3.40 takes any column of a row that it deletes for NOT NULL.
    .returning(JOB.c.result_removed_at, JOB.c.result_bytes)
)
_DELETE_ADDITIONS: Final = delete(QUEUED_ADDITION).where(
    QUEUED_ADDITION.c.batch_id == bindparam("named")
)
_DELETE_BATCH: Final = delete(QUEUED_BATCH).where(QUEUED_BATCH.c.id == bindparam("named"))
