"""Statements on the order of a project's older jobs, and on what changes it.

A job that is *settled* keeps its place, counted from the oldest, unless the project's number of
rewrites rises. Jobs come in with the time of their creation, so that nearly every new one is the
newest. Those that are not, and deletions, raise the number.

Why a writer leaves out what is less than one grace old, and a reader what is less than two: a job
is not seen before its transaction commits. Had it been older than a grace at the end of its
transaction, the number would have risen in that very commit. So at its commit it is younger than a
grace and the moment that the commit took, and a reader who did not see it looked before that. What
this reader calls settled is two graces old, hence older than that job, as long as a commit takes,
and the clocks of two replicas differ by, less than the other grace together.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from sqlalchemy import Connection, bindparam, select
from sqlalchemy.dialects import postgresql, sqlite

from tweezer.job.bookkeeping import PROJECT_HISTORY

#: Age at which a job is stored late, in microseconds.
GRACE: Final = 60_000_000

_REWRITES: Final = PROJECT_HISTORY.c.rewrites

_SO_FAR: Final = select(_REWRITES).where(PROJECT_HISTORY.c.project_id == bindparam("of_project"))


def _raise(kind: Any) -> Any:
    first = kind.insert(PROJECT_HISTORY).values(rewrites=1)
    return first.on_conflict_do_update(
        index_elements=["project_id"], set_={"rewrites": _REWRITES + 1}
    )


_RAISE: Final[Mapping[str, Any]] = {
    kind.dialect().name: _raise(kind) for kind in (sqlite, postgresql)
}


def settled(now: int) -> int:
    """Returns the newest time of creation of jobs whose order is settled."""
    return now - 2 * GRACE


def is_late(created_at: int, now: int) -> bool:
    """Says whether a job that is stored now may come between others that are settled."""
    return created_at < now - GRACE


def rewrites(connection: Connection, project_id: str) -> int:
    """Returns how often the settled jobs of a project became fewer or more."""
    found: int | None = connection.execute(_SO_FAR, {"of_project": project_id}).scalar_one_or_none()
    return found or 0


def rewritten(connection: Connection, project_ids: Iterable[str]) -> None:
    """Tells that settled jobs of these projects became fewer or more.

    The last change of a transaction.
    """
    # In the same order everywhere: of two who want the same rows one waits, and not each for the
    # other.
    rows = [{"project_id": project_id} for project_id in sorted(set(project_ids))]
    if rows:
        connection.execute(_RAISE[connection.dialect.name], rows)
