"""Lists of jobs, for callers who ask for the same ones again and again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import Connection, Select

from tweezer.database.database import Database
from tweezer.database.totals import Totals
from tweezer.job.filters import selection
from tweezer.job.paging import Page
from tweezer.job.store import reads
from tweezer.rpc.paging import DEFAULT_SIZE
from tweezer.v1 import job_pb2

#: Largest filter whose statements are kept, in bytes of its message.
_LARGEST_KEPT: Final = 1024


@dataclass(frozen=True, slots=True)
class _Statements:
    """What a list is read with."""

    page: Select[Any]
    count: Select[int]
    few: bool  #: keys are named, so that few jobs are looked at


class Listing:
    """Reads parts of lists.

    Making statements of a filter takes longer than running them, so they are kept: clients ask for
    the same first page over and over.
    """

    def __init__(self, database: Database) -> None:
        self._database, self._totals = database, Totals()

    async def jobs(
        self, wanted: job_pb2.JobFilter, projects: frozenset[str], page: Page
    ) -> tuple[Sequence[Sequence[Any]], int]:
        """Returns a part of the jobs that are wanted, and the number of all of them.

        InvalidInput for a filter that no job can match.
        """
        conditions = wanted.SerializeToString(deterministic=True)
        make = _kept if len(conditions) <= _LARGEST_KEPT else _statements
        statements = make(conditions, projects, page)
        if statements.few and page.size <= DEFAULT_SIZE:
            return await self._database.read(lambda c: _read(c, statements, page, _count_anew))
        key = (conditions, projects)
        return await self._database.scan(
            lambda c: _read(c, statements, page, lambda count: self._totals.of(key, count))
        )


def _statements(conditions: bytes, projects: frozenset[str], page: Page) -> _Statements:
    selected = selection(job_pb2.JobFilter.FromString(conditions), projects)
    return _Statements(
        reads.page_query(selected, page), reads.count_query(selected), few=selected.few
    )


_kept = lru_cache(maxsize=256)(_statements)


def _read(
    connection: Connection,
    statements: _Statements,
    page: Page,
    total_of: Callable[[Callable[[], int]], int],
) -> tuple[Sequence[Sequence[Any]], int]:
    rows = connection.execute(statements.page).all()
    if len(rows) < page.size and (rows or page.skip == 0):  # the last page
        return rows, page.skip + len(rows)
    total = total_of(lambda: connection.execute(statements.count).scalar_one())
    # What was counted some moments ago may lack the newest.
    return rows, max(total, page.skip + len(rows) if rows else 0)


def _count_anew(count: Callable[[], int]) -> int:
    return count()
