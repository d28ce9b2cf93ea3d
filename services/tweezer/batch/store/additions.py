"""Statements on additions of jobs."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from sqlalchemy import BigInteger, Connection, Integer, bindparam, case, insert, select, update
from sqlalchemy.exc import IntegrityError

from tweezer.batch.limits import Limits
from tweezer.batch.models import ADDITION, BATCH
from tweezer.batch.new_jobs import NewJobs
from tweezer.batch.store.loads import Load, add_load
from tweezer.batch.store.programs import hold_programs, keep_programs, store_job_programs
from tweezer.batch.store.requests import NamedRequest, claim_request
from tweezer.batch.store.state import lock, want
from tweezer.rpc.errors import InvalidInput, NotAllowedNow, Unavailable

_SPANS: Final = (
    select(ADDITION.c.first_order, ADDITION.c.jobs_count)
    .where(ADDITION.c.batch_id == bindparam("of_batch"))
    .order_by(ADDITION.c.first_order)
)

_IS_OPEN: Final = select(BATCH.c.open).where(BATCH.c.id == bindparam("of_batch"))

_RESERVE: Final = (
    update(BATCH)
    .where(BATCH.c.id == bindparam("batch_id"), BATCH.c.open)
    .values(
        next_order=BATCH.c.next_order + bindparam("count", type_=Integer),
        # It does not time out while jobs are on their way.
        idle_since=case((BATCH.c.idle_since.is_not(None), bindparam("now", type_=BigInteger))),
    )
    .returning(BATCH.c.next_order)
)


class Span(NamedTuple):
    """Jobs that follow each other."""

    first_order: int
    jobs_count: int


class AdditionRow(NamedTuple):
    """An addition that a batch has."""

    batch_id: str
    first_order: int
    jobs_count: int
    created_at: int


_ADDITION: Final = select(*(ADDITION.c[name] for name in AdditionRow._fields)).where(
    ADDITION.c.id == bindparam("addition"), ADDITION.c.batch_id.is_not(None)
)


def spans_of(connection: Connection, batch_id: str) -> list[Span]:
    """Returns where the jobs of a batch are, in creation order."""
    return [Span(*row) for row in connection.execute(_SPANS, {"of_batch": batch_id})]


def find_addition(connection: Connection, addition_id: str) -> AdditionRow | None:
    """Returns an addition that a batch has."""
    row = connection.execute(_ADDITION, {"addition": addition_id}).first()
    return None if row is None else AdditionRow(*row)


def reserve_orders(connection: Connection, batch_id: str, count: int, now: int) -> int:
    """Takes creation orders for new jobs and returns the first; NotAllowedNow when it is closed."""
    after: int | None = connection.execute(
        _RESERVE, {"batch_id": batch_id, "count": count, "now": now}
    ).scalar_one_or_none()
    if after is None:
        raise _closed(batch_id)
    return after - count


def commit_addition(
    connection: Connection,
    new: NewJobs,
    texts: Mapping[str, str],
    limits: Limits,
    named: NamedRequest | None = None,
) -> None:
    """Adds jobs that JobService holds to a batch: the commit point.

    NotAllowedNow when the batch was closed in the meantime; JobService then drops the jobs.
    """
    batch_id, added, now = new.batch.id, len(new.jobs), new.created_at
    if named is not None:
        claim_request(connection, named, batch_id, new.addition_id, now)
    state = lock(connection, batch_id)
    if state is None or not state.open:
        raise _closed(batch_id)
    require_room(state.jobs_count, added, limits.jobs_per_batch)
    kept_bytes = keep_programs(connection, texts, state.project_id, now)
    hold_programs(connection, new.program_hashes, texts)
    store_job_programs(connection, state.seq, new.program_hashes)
    span = Span(new.first_order, added)
    store_addition(connection, batch_id, new.addition_id, state.intent_version + 1, span, now)
    want(connection, state, state.intent, now, added=added)
    add_load(connection, state.project_id, Load(0, added, kept_bytes), limits, now)


def store_addition(
    connection: Connection,
    batch_id: str,
    addition_id: str,
    intent_version: int,
    span: Span,
    now: int,
) -> None:
    """Stores an addition; Unavailable when it was given up in the meantime."""
    try:
        connection.execute(
            insert(ADDITION),
            {
                "id": addition_id,
                "batch_id": batch_id,
                "intent_version": intent_version,
                "first_order": span.first_order,
                "jobs_count": span.jobs_count,
                "created_at": now,
            },
        )
    except IntegrityError:
        # It took so long that the addition was given up: its jobs are gone, or about to go.
        raise Unavailable("the jobs could not be stored in time: try again") from None


def require_open(connection: Connection, batch_id: str) -> None:
    """Raises NotAllowedNow when a batch takes no more jobs."""
    if not connection.execute(_IS_OPEN, {"of_batch": batch_id}).scalar():
        raise _closed(batch_id)


def require_room(present: int, added: int, max_jobs: int) -> None:
    """Raises InvalidInput when a batch would have too many jobs."""
    if present + added > max_jobs:
        raise InvalidInput(
            "jobs", f"the batch would have {present + added}, and the limit is {max_jobs}"
        )


def _closed(batch_id: str) -> NotAllowedNow:
    return NotAllowedNow(f"batch {batch_id} is closed: no jobs can be added")


def uncommitted(connection: Connection, addition_ids: Sequence[str]) -> list[str]:
    """Returns those of the additions that belong to no batch."""
    known = _has_batch(connection, addition_ids)
    return [i for i in dict.fromkeys(addition_ids) if not known.get(i, False)]


def give_up_uncommitted(connection: Connection, addition_ids: Sequence[str], now: int) -> list[str]:
    """Returns those of the additions that were never committed, and sees to it that none will be.

    The caller drops their jobs. A call that is still under way and is about to commit one of them
    then fails, instead of making a batch that lacks jobs.
    """
    # Read once: one that is committed between two reads would look as if it had been given up.
    known = _has_batch(connection, addition_ids)
    unknown = [i for i in dict.fromkeys(addition_ids) if not known.get(i, False)]
    fresh = [{"id": i, "created_at": now} for i in unknown if i not in known]
    if fresh:
        connection.execute(insert(ADDITION), fresh)
    return unknown


def _has_batch(connection: Connection, addition_ids: Sequence[str]) -> dict[str, bool]:
    """Returns whether the additions that are known belong to a batch; the others were given up."""
    rows = connection.execute(
        select(ADDITION.c.id, ADDITION.c.batch_id.is_not(None)).where(
            ADDITION.c.id.in_(addition_ids)
        )
    )
    return {row[0]: row[1] for row in rows}
