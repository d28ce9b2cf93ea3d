"""Which results the rows say are stored."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, bindparam, select, tuple_, update

from tweezer.job.conditions import keeps_result
from tweezer.job.models import JOB
from tweezer.job.store import storage

#: Rows in one step of a clean-up: it must not hold up the workers' calls.
AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class StoredResult:
    """A result that should be in the store."""

    end_at: int
    seq: int
    job_id: str
    key: str


@dataclass(frozen=True, slots=True)
class Owner:
    """What a job says about its results."""

    key: str | None  #: of the result that is kept
    lease_token: str | None  #: of the worker that may be about to bring one
    knows_size: bool = True  #: of the result that is kept


def owners(connection: Connection, job_ids: Collection[str]) -> dict[str, Owner]:
    """Returns the owners of results among some jobs, by identifier; unknown jobs own nothing."""
    rows = connection.execute(_OWNERS, {"named": list(job_ids)})
    return {
        id_: Owner(key if removed_at is None else None, token, size is not None)
        for id_, key, removed_at, token, size in rows
    }


def record_sizes(connection: Connection, sizes: Mapping[str, int]) -> None:
    """Records how large results are of which that is not known, by job."""
    stored: list[tuple[str, int]] = []
    for job_id, size in sorted(sizes.items()):
        found = connection.execute(_RECORD_SIZE, {"named": job_id, "size": size})
        stored += [(project_id, size) for project_id in found.scalars()]
    storage.count(connection, stored)


def stored(
    connection: Connection, before: int, behind: StoredResult | None = None
) -> list[StoredResult]:
    """Returns results of jobs that ended before a time, oldest first, some of them after another.

    The order is that of an index, so that any number of them is gone through in small steps.
    """
    named = {
        "before": before,
        "after_end": -1 if behind is None else behind.end_at,
        "after_seq": -1 if behind is None else behind.seq,
    }
    return [StoredResult(*row) for row in connection.execute(_STORED, named)]


def record_removal(connection: Connection, results: Sequence[StoredResult], now: int) -> None:
    """Records that results are no longer stored; their jobs stay as they are otherwise."""
    removed = connection.execute(
        _RECORD_REMOVAL, {"numbers": [each.seq for each in results], "now": now}
    )
    storage.count(connection, [(project_id, -(size or 0)) for project_id, size in removed])


_OWNERS: Final = select(
    JOB.c.id, JOB.c.result_key, JOB.c.result_removed_at, JOB.c.lease_token, JOB.c.result_bytes
).where(JOB.c.id.in_(bindparam("named", expanding=True)))
_STORED: Final = (
    select(JOB.c.end_at, JOB.c.seq, JOB.c.id, JOB.c.result_key)
    .where(
        keeps_result(JOB),
        JOB.c.end_at < bindparam("before"),
        tuple_(JOB.c.end_at, JOB.c.seq) > tuple_(bindparam("after_end"), bindparam("after_seq")),
    )
    .order_by(JOB.c.end_at, JOB.c.seq)
    .limit(AT_ONCE)
)
_RECORD_SIZE: Final = (
    update(JOB)
    .where(JOB.c.id == bindparam("named"), JOB.c.result_bytes.is_(None), keeps_result(JOB))
    .values(result_bytes=bindparam("size"))
    .returning(JOB.c.project_id)
)
_RECORD_REMOVAL: Final = (
    update(JOB)
    .where(JOB.c.seq.in_(bindparam("numbers", expanding=True)), keeps_result(JOB))
    .values(result_removed_at=bindparam("now"))
    .returning(JOB.c.project_id, JOB.c.result_bytes)
)
