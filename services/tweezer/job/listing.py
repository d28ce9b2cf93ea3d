"""Lists of jobs, for callers who ask for the same ones again and again."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import Connection, Select

from tweezer.database.database import Database
from tweezer.database.totals import Totals
from tweezer.job.far_pages import FarPages, Part
from tweezer.job.filters import selection
from tweezer.job.paging import Page
from tweezer.job.store import reads
from tweezer.job.store.landmarks import PlacedQueries, placed_queries
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

    def __init__(self, database: Database, far_pages: FarPages) -> None:
        self._database, self._far_pages, self._totals = database, far_pages, Totals()

    async def jobs(self, wanted: job_pb2.JobFilter, projects: frozenset[str], page: Page) -> Part:
        """Returns a part of the jobs that are wanted, and the number of all of them.

        InvalidInput for a filter that no job can match.
        """
        conditions = wanted.SerializeToString(deterministic=True)
        if self._far_pages.are_for(page) and len(conditions) <= _LARGEST_KEPT:
            far = await self._far_page(conditions, projects, page)
            if far is not None:
                return far
        make = _kept if len(conditions) <= _LARGEST_KEPT else _statements
        statements = make(conditions, projects, page)
        if statements.few and page.size <= DEFAULT_SIZE:
            return await self._database.read(lambda c: _read(c, statements, page, _count_anew))
        key = (conditions, projects)
        return await self._database.scan(
            lambda c: _read(c, statements, page, lambda count: self._totals.of(key, count))
        )

    async def _far_page(
        self, conditions: bytes, projects: frozenset[str], page: Page
    ) -> Part | None:
        queries = _kept_placed(conditions, projects)
        if queries is None:
            return None
        key = (conditions, projects)
        return await self._database.scan(lambda c: self._far_pages.read(c, key, queries, page))


def _statements(conditions: bytes, projects: frozenset[str], page: Page) -> _Statements:
    selected = selection(job_pb2.JobFilter.FromString(conditions), projects)
    return _Statements(
        reads.page_query(selected, page), reads.count_query(selected), few=selected.few
    )


_kept = lru_cache(maxsize=256)(_statements)


@lru_cache(maxsize=64)
def _kept_placed(conditions: bytes, projects: frozenset[str]) -> PlacedQueries | None:
    selected = selection(job_pb2.JobFilter.FromString(conditions), projects)
    if selected.steady_in is None:
        return None
    return placed_queries(selected.steady_in, selected.where)


def _read(
    connection: Connection,
    statements: _Statements,
    page: Page,
    total_of: Callable[[Callable[[], int]], int],
) -> Part:
    rows = connection.execute(statements.page).all()
    if len(rows) < page.size and (rows or page.skip == 0):  # the last page
        return rows, page.skip + len(rows)
    total = total_of(lambda: connection.execute(statements.count).scalar_one())
    # What was counted some moments ago may lack the newest.
    return rows, max(total, page.skip + len(rows) if rows else 0)


def _count_anew(count: Callable[[], int]) -> int:
    return count()
