"""Additions that are still held: dropped when they were never committed."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, bindparam, delete, exists, not_, select, update

from tweezer.database.bell import ring
from tweezer.database.locks import has_many_writers
from tweezer.job.models import JOB, QUEUED_ADDITION, QUEUED_BATCH
from tweezer.job.store import counts, history, words

#: Additions asked about in one call.
_ASKED_AT_ONCE: Final = 500


def earliest_check(connection: Connection) -> int | None:
    """Returns when the next held addition must be asked about, if there is any."""
    return connection.execute(_EARLIEST_CHECK).scalar()


def due(connection: Connection, now: int) -> list[str]:
    """Returns additions that have been held for too long, some of them when there are many."""
    return list(connection.execute(_DUE, {"now": now}).scalars())


def postpone(connection: Connection, addition_ids: Sequence[str], check_at: int) -> None:
    """Puts the next question about some additions off."""
    connection.execute(_CHECK_AT, {"additions": list(addition_ids), "next": check_at})


def doubt(connection: Connection, batch_ids: Sequence[str], now: int) -> bool:
    """Has what is still held of some batches asked about now; says whether there is anything."""
    held = list(connection.execute(_HELD_OF, {"of_batches": list(batch_ids)}).scalars())
    if held:
        connection.execute(_CHECK_AT, {"additions": held, "next": now})
    return bool(held)


def drop(connection: Connection, addition_ids: Sequence[str]) -> int:
    """Removes additions that are still held, with their jobs, and returns the number of jobs."""
    dropped = 0
    projects: set[str] = set()
    for addition_id in addition_ids:
        if has_many_writers(connection):  # the batch first, as whoever releases additions does
            connection.execute(_LOCK_BATCH, {"addition": addition_id})
        held = connection.execute(_HELD, {"addition": addition_id}).first()
        if held is not None:
            batch_id, first_order, jobs_count, project_id = held
            _drop(connection, addition_id, batch_id, first_order, jobs_count)
            dropped += jobs_count
            projects.add(project_id)
    if dropped:
        history.rewritten(connection, projects)
        ring(connection, words.JOBS_READY)  # an exclusive device may have been kept for these jobs
    return dropped


def _drop(
    connection: Connection, addition_id: str, batch_id: str, first_order: int, jobs_count: int
) -> None:
    span = {"of_batch": batch_id, "first": first_order, "last": first_order + jobs_count - 1}
    connection.execute(_DELETE_JOBS, span)
    connection.execute(_DELETE_ADDITION, {"addition": addition_id})
    counts.drop_pending(connection, batch_id, jobs_count)
    connection.execute(_DELETE_EMPTY_BATCH, {"of_batch": batch_id})


_ADDITION: Final = QUEUED_ADDITION.c

_EARLIEST_CHECK: Final = (
    select(_ADDITION.check_at).where(not_(_ADDITION.released)).order_by(_ADDITION.check_at).limit(1)
)
_DUE: Final = (
    select(_ADDITION.id)
    .where(not_(_ADDITION.released), _ADDITION.check_at <= bindparam("now"))
    .order_by(_ADDITION.check_at)
    .limit(_ASKED_AT_ONCE)
)
_HELD_OF: Final = (
    select(_ADDITION.id)
    .where(
        _ADDITION.batch_id.in_(bindparam("of_batches", expanding=True)), not_(_ADDITION.released)
    )
    .order_by(_ADDITION.id)  # all lock in one order
    .with_for_update()
)
_CHECK_AT: Final = (
    update(QUEUED_ADDITION)
    .where(_ADDITION.id.in_(bindparam("additions", expanding=True)))
    .values(check_at=bindparam("next"))
)
_LOCK_BATCH: Final = (
    select(QUEUED_BATCH.c.seq)
    .where(
        QUEUED_BATCH.c.id
        == select(_ADDITION.batch_id).where(_ADDITION.id == bindparam("addition")).scalar_subquery()
    )
    .with_for_update(key_share=True)
)
_HELD: Final = (
    select(
        _ADDITION.batch_id, _ADDITION.first_order, _ADDITION.jobs_count, QUEUED_BATCH.c.project_id
    )
    .join_from(QUEUED_ADDITION, QUEUED_BATCH, _ADDITION.batch_id == QUEUED_BATCH.c.id)
    .where(_ADDITION.id == bindparam("addition"), not_(_ADDITION.released))
    .with_for_update(of=QUEUED_ADDITION)
)
_DELETE_JOBS: Final = delete(JOB).where(
    JOB.c.batch_id == bindparam("of_batch"),
    JOB.c.creation_order.between(bindparam("first"), bindparam("last")),
    not_(JOB.c.released),
)
_DELETE_ADDITION: Final = delete(QUEUED_ADDITION).where(_ADDITION.id == bindparam("addition"))
_DELETE_EMPTY_BATCH: Final = delete(QUEUED_BATCH).where(
    QUEUED_BATCH.c.id == bindparam("of_batch"),
    not_(exists().where(_ADDITION.batch_id == QUEUED_BATCH.c.id)),
)
