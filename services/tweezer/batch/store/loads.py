"""Statements on how much each project has."""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import BigInteger, Connection, bindparam, select, update
from sqlalchemy.dialects import postgresql, sqlite

from tweezer.batch.limits import Limits
from tweezer.batch.models import PROJECT_LOAD
from tweezer.rpc.errors import TooMuch

_LOAD: Final = select(PROJECT_LOAD.c.batches, PROJECT_LOAD.c.unfinished_jobs).where(
    PROJECT_LOAD.c.project_id == bindparam("of_project")
)


def _add(kind: Any) -> Any:
    fresh = kind.insert(PROJECT_LOAD)
    return fresh.on_conflict_do_update(
        index_elements=["project_id"],
        set_={
            "batches": PROJECT_LOAD.c.batches + fresh.excluded.batches,
            "unfinished_jobs": PROJECT_LOAD.c.unfinished_jobs + fresh.excluded.unfinished_jobs,
            "last_activity_at": fresh.excluded.last_activity_at,
        },
    ).returning(PROJECT_LOAD.c.batches, PROJECT_LOAD.c.unfinished_jobs)


_ADD: Final[Mapping[str, Any]] = {kind.dialect().name: _add(kind) for kind in (sqlite, postgresql)}

_CHANGE: Final = (
    update(PROJECT_LOAD)
    .where(PROJECT_LOAD.c.project_id == bindparam("of_project"))
    .values(
        batches=PROJECT_LOAD.c.batches + bindparam("more_batches", type_=BigInteger),
        unfinished_jobs=PROJECT_LOAD.c.unfinished_jobs + bindparam("more_jobs", type_=BigInteger),
    )
)


def require_capacity(
    connection: Connection, project_id: str, batches: int, jobs: int, limits: Limits
) -> None:
    """Raises TooMuch when a project can have no more; `add_load` then decides."""
    present = connection.execute(_LOAD, {"of_project": project_id}).first() or (0, 0)
    _check(project_id, present[0] + batches, present[1] + jobs, limits)


def add_load(
    connection: Connection, project_id: str, batches: int, jobs: int, limits: Limits, now: int
) -> None:
    """Counts what a project takes in, or raises TooMuch. The last change of a transaction."""
    row = {
        "project_id": project_id,
        "batches": batches,
        "unfinished_jobs": jobs,
        "last_activity_at": now,
    }
    after = connection.execute(_ADD[connection.dialect.name], row).one()
    _check(project_id, after[0], after[1], limits)


def change_unfinished(connection: Connection, more_jobs: Mapping[str, int]) -> None:
    """Counts jobs that have ended, as negative numbers by project. The last of a transaction."""
    _change(connection, {project_id: (0, jobs) for project_id, jobs in more_jobs.items() if jobs})


def drop_batches(connection: Connection, deleted: Mapping[str, int]) -> None:
    """Counts deleted batches, by project. The last change of a transaction."""
    _change(connection, {project_id: (-count, 0) for project_id, count in deleted.items()})


def _change(connection: Connection, more: Mapping[str, tuple[int, int]]) -> None:
    # In the same order everywhere: of two who want the same rows one waits, and not each for the
    # other.
    rows = [
        {"of_project": project_id, "more_batches": batches, "more_jobs": jobs}
        for project_id, (batches, jobs) in sorted(more.items())
    ]
    if rows:
        connection.execute(_CHANGE, rows)


def _check(project_id: str, batches: int, jobs: int, limits: Limits) -> None:
    if batches > limits.batches_per_project:
        raise TooMuch(
            f"project {project_id} has {limits.batches_per_project} batches, which is the limit:"
            " an operator can delete finished ones"
        )
    if jobs > limits.unfinished_jobs_per_project:
        raise TooMuch(
            f"project {project_id} would have {jobs} unfinished jobs, and the limit is"
            f" {limits.unfinished_jobs_per_project}: try again when some have ended"
        )
