"""Statements on how much each project has."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from sqlalchemy import BigInteger, Connection, bindparam, select, update
from sqlalchemy.dialects import postgresql, sqlite

from tweezer.batch.limits import Limits
from tweezer.batch.models import PROJECT_LOAD
from tweezer.database.row_read import RowRead
from tweezer.rpc.errors import TooMuch


class Load(NamedTuple):
    """How much a project has, or by how much that changes."""

    batches: int = 0
    unfinished_jobs: int = 0
    sequence_bytes: int = 0


_COLUMNS: Final = tuple(PROJECT_LOAD.c[name] for name in Load._fields)

_LOAD: Final = RowRead(
    select(*_COLUMNS).where(PROJECT_LOAD.c.project_id == bindparam("of_project"))
)


def _add(kind: Any) -> Any:
    fresh = kind.insert(PROJECT_LOAD)
    more = {column.name: column + fresh.excluded[column.name] for column in _COLUMNS}
    return fresh.on_conflict_do_update(
        index_elements=["project_id"],
        set_={**more, "last_activity_at": fresh.excluded.last_activity_at},
    ).returning(*_COLUMNS)


_ADD: Final[Mapping[str, Any]] = {kind.dialect().name: _add(kind) for kind in (sqlite, postgresql)}

_CHANGE: Final = (
    update(PROJECT_LOAD)
    .where(PROJECT_LOAD.c.project_id == bindparam("of_project"))
    .values(
        {column: column + bindparam(f"more_{column.name}", type_=BigInteger) for column in _COLUMNS}
    )
)


def require_capacity(
    connection: Connection, project_id: str, batches: int, jobs: int, limits: Limits
) -> Load:
    """Returns what a project has, or raises TooMuch when it can have no more.

    `add_load` then decides.
    """
    present = Load(*_LOAD.first(connection, of_project=project_id) or ())
    _check(project_id, present.batches + batches, present.unfinished_jobs + jobs, limits)
    return present


def add_load(connection: Connection, project_id: str, more: Load, limits: Limits, now: int) -> None:
    """Counts what a project takes in, or raises TooMuch. The last change of a transaction."""
    row = {"project_id": project_id, **more._asdict(), "last_activity_at": now}
    after = Load(*connection.execute(_ADD[connection.dialect.name], row).one())
    _check(project_id, after.batches, after.unfinished_jobs, limits)


def change_unfinished(connection: Connection, more_jobs: Mapping[str, int]) -> None:
    """Counts jobs that have ended, as negative numbers by project. The last of a transaction."""
    _change(connection, {p: Load(unfinished_jobs=jobs) for p, jobs in more_jobs.items() if jobs})


def drop_batches(connection: Connection, deleted: Mapping[str, int]) -> None:
    """Counts deleted batches, by project. The last change of a transaction."""
    _change(connection, {p: Load(batches=-count) for p, count in deleted.items()})


def drop_sequences(connection: Connection, deleted_bytes: Mapping[str, int]) -> None:
    """Counts deleted sequences, by project. The last change of a transaction."""
    _change(connection, {p: Load(sequence_bytes=-size) for p, size in deleted_bytes.items()})


def _change(connection: Connection, more: Mapping[str, Load]) -> None:
    # In the same order everywhere: of two who want the same rows one waits, and not each for the
    # other.
    rows = [
        {
            "of_project": project_id,
            **{f"more_{name}": number for name, number in load._asdict().items()},
        }
        for project_id, load in sorted(more.items())
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
