"""Statements on how much each project has stored."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

from sqlalchemy import Connection, bindparam, select
from sqlalchemy.dialects import postgresql, sqlite

from tweezer.database.row_read import RowRead
from tweezer.job.bookkeeping import PROJECT_STORAGE

_BYTES: Final = PROJECT_STORAGE.c.result_bytes

_USED: Final = RowRead(
    select(_BYTES).where(PROJECT_STORAGE.c.project_id == bindparam("of_project"))
)


def _add(kind: Any) -> Any:
    fresh = kind.insert(PROJECT_STORAGE)
    return fresh.on_conflict_do_update(
        index_elements=["project_id"],
        set_={"result_bytes": _BYTES + fresh.excluded.result_bytes},
    )


_ADD: Final[Mapping[str, Any]] = {kind.dialect().name: _add(kind) for kind in (sqlite, postgresql)}


def result_bytes(connection: Connection, project_id: str) -> int:
    """Returns how much the results of a project take."""
    found = _USED.first(connection, of_project=project_id)
    return 0 if found is None else found[0]


def count(connection: Connection, stored: Iterable[tuple[str, int]]) -> None:
    """Counts results that are stored from now on, by project; negative ones no longer are.

    The last change of a transaction.
    """
    more: Counter[str] = Counter()
    for project_id, size in stored:
        more[project_id] += size
    # In the same order everywhere: of two who want the same rows one waits, and not each for the
    # other.
    rows = [{"project_id": p, "result_bytes": size} for p, size in sorted(more.items()) if size]
    if rows:
        connection.execute(_ADD[connection.dialect.name], rows)
