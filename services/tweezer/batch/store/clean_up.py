"""Deletes what is finished and old, and what nothing needs any more."""

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Integer,
    bindparam,
    delete,
    func,
    or_,
    select,
    tuple_,
)

from tweezer.batch.models import (
    ADDITION,
    BATCH,
    BATCH_TAG,
    JOB_PROGRAM,
    PROGRAM,
    PROJECT_LOAD,
    unacknowledged,
)
from tweezer.batch.store.loads import drop_batches, drop_sequences


class EndedBatch(NamedTuple):
    """A batch that is old enough to be deleted."""

    end_at: int
    seq: int
    id: str
    jobs_count: int


_PROJECTS: Final = select(PROJECT_LOAD.c.project_id).order_by(PROJECT_LOAD.c.project_id)

# What JobService or a webhook has not heard of is not over.
_ENDED: Final[tuple[ColumnElement[bool], ...]] = (
    BATCH.c.project_id == bindparam("of_project"),
    BATCH.c.end_at < bindparam("before"),
    BATCH.c.acknowledged_version == BATCH.c.intent_version,
    ~BATCH.c.unannounced,
)

_ENDED_BATCHES: Final = (
    select(*(BATCH.c[name] for name in EndedBatch._fields))
    .where(
        *_ENDED,
        BATCH.c.end_at >= bindparam("after_end"),
        tuple_(BATCH.c.end_at, BATCH.c.seq)
        > tuple_(bindparam("after_end", type_=BigInteger), bindparam("after", type_=BigInteger)),
    )
    .order_by(BATCH.c.end_at, BATCH.c.seq)
    .limit(bindparam("limit", type_=Integer))
)

_COUNT: Final = select(func.count(), func.coalesce(func.sum(BATCH.c.jobs_count), 0)).where(*_ENDED)

_LOCK: Final = (
    select(BATCH.c.seq, BATCH.c.id, BATCH.c.project_id)
    .where(BATCH.c.id.in_(bindparam("ids", expanding=True)))
    .order_by(BATCH.c.seq)
    .with_for_update()
)

_BY_SEQ: Final = tuple(
    delete(table).where(table.c.batch_seq.in_(bindparam("seqs", expanding=True)))
    for table in (BATCH_TAG, JOB_PROGRAM)
)

_ADDITIONS: Final = delete(ADDITION).where(
    ADDITION.c.batch_id.in_(bindparam("ids", expanding=True))
)

_BATCHES: Final = delete(BATCH).where(BATCH.c.seq.in_(bindparam("seqs", expanding=True)))

_GIVEN_UP: Final = delete(ADDITION).where(
    ADDITION.c.batch_id.is_(None), ADDITION.c.created_at < bindparam("before")
)

_UNACKNOWLEDGED: Final = select(func.count()).select_from(BATCH).where(unacknowledged())

_SHARED: Final = select(BATCH.c.seq).where(BATCH.c.program_hash == PROGRAM.c.hash).exists()
_OWN: Final = select(JOB_PROGRAM.c.seq).where(JOB_PROGRAM.c.program_hash == PROGRAM.c.hash).exists()

_UNUSED: Final = (
    select(PROGRAM.c.hash)
    .where(PROGRAM.c.tracked, PROGRAM.c.hash > bindparam("after"), ~_SHARED, ~_OWN)
    .order_by(PROGRAM.c.hash)
    .limit(bindparam("limit", type_=Integer))
)

_STAYS: Final = or_(
    BATCH.c.end_at.is_(None),
    BATCH.c.end_at >= bindparam("before"),
    unacknowledged(),
    BATCH.c.unannounced,
)

_UNUSED_AFTERWARDS: Final = (
    select(func.count())
    .select_from(PROGRAM)
    .where(
        PROGRAM.c.tracked,
        ~select(BATCH.c.seq).where(BATCH.c.program_hash == PROGRAM.c.hash, _STAYS).exists(),
        ~select(JOB_PROGRAM.c.seq)
        .join(BATCH, BATCH.c.seq == JOB_PROGRAM.c.batch_seq)
        .where(JOB_PROGRAM.c.program_hash == PROGRAM.c.hash, _STAYS)
        .exists(),
    )
)

# Those who are about to use a program hold it locked until they have stored that they do: what this
# waited for is seen by the statement after it.
_LOCK_PROGRAMS: Final = (
    select(PROGRAM.c.hash)
    .where(PROGRAM.c.hash.in_(bindparam("hashes", expanding=True)))
    .order_by(PROGRAM.c.hash)
    .with_for_update()
)

_DELETE_UNUSED: Final = (
    delete(PROGRAM)
    .where(
        PROGRAM.c.hash.in_(bindparam("hashes", expanding=True)), PROGRAM.c.tracked, ~_SHARED, ~_OWN
    )
    .returning(PROGRAM.c.project_id, PROGRAM.c.size)
)


def projects(connection: Connection) -> list[str]:
    """Returns the projects that ever had a batch."""
    return list(connection.execute(_PROJECTS).scalars())


def ended_batches(
    connection: Connection, project_id: str, before: int, after: EndedBatch | None, limit: int
) -> list[EndedBatch]:
    """Returns batches of a project that ended before that time, those that ended first first."""
    wanted = {
        "of_project": project_id,
        "before": before,
        "after_end": 0 if after is None else after.end_at,
        "after": 0 if after is None else after.seq,
        "limit": limit,
    }
    return [EndedBatch(*row) for row in connection.execute(_ENDED_BATCHES, wanted)]


def count_ended(connection: Connection, project_id: str, before: int) -> tuple[int, int]:
    """Returns how many batches of a project ended before that time, and how many jobs they have."""
    row = connection.execute(_COUNT, {"of_project": project_id, "before": before}).one()
    return row[0], row[1]


def delete_batches(connection: Connection, batch_ids: Sequence[str]) -> int:
    """Deletes batches of which JobService has nothing any more, and returns their number."""
    locked = connection.execute(_LOCK, {"ids": list(batch_ids)}).all()
    seqs, ids = [row[0] for row in locked], [row[1] for row in locked]
    if not locked:
        return 0
    for statement in _BY_SEQ:
        connection.execute(statement, {"seqs": seqs})
    connection.execute(_ADDITIONS, {"ids": ids})
    connection.execute(_BATCHES, {"seqs": seqs})
    drop_batches(connection, Counter(row[2] for row in locked))
    return len(locked)


def unused_programs(connection: Connection, after: str, limit: int) -> list[str]:
    """Returns sequences that no batch uses, by hash, in the order of the hashes."""
    return list(connection.execute(_UNUSED, {"after": after, "limit": limit}).scalars())


def count_unused_programs(connection: Connection, before: int) -> int:
    """Returns how many sequences would be unused without the batches that ended before then."""
    count: int = connection.execute(_UNUSED_AFTERWARDS, {"before": before}).scalar_one()
    return count


def delete_unused_programs(connection: Connection, hashes: Collection[str]) -> int:
    """Deletes those of these sequences that no batch uses, and returns their number."""
    wanted = {"hashes": sorted(hashes)}
    connection.execute(_LOCK_PROGRAMS, wanted)
    deleted = connection.execute(_DELETE_UNUSED, wanted).all()
    freed: Counter[str] = Counter()
    for project_id, size in deleted:
        if project_id is not None:
            freed[project_id] += size
    drop_sequences(connection, freed)
    return len(deleted)


def delete_given_up(connection: Connection, before: int) -> int:
    """Deletes additions that were given up before that time, and returns their number."""
    return connection.execute(_GIVEN_UP, {"before": before}).rowcount


def count_unacknowledged(connection: Connection) -> int:
    """Returns of how many batches JobService must still be told."""
    count: int = connection.execute(_UNACKNOWLEDGED).scalar_one()
    return count
