"""Which part of a list is wanted, and in which order."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Column, ColumnElement

from tweezer.job.models import JOB
from tweezer.rpc.paging import read_page
from tweezer.v1 import paging_pb2

#: The most items of a page.
LARGEST_PAGE: Final = 1000

#: Columns to order by, under their names in the REST API.
ORDERS: Final[Mapping[str, Column[Any]]] = {
    "created_at": JOB.c.created_at,
    "updated_at": JOB.c.updated_at,
    "start_timestamp": JOB.c.start_at,
    "end_timestamp": JOB.c.end_at,
    "creation_order": JOB.c.creation_order,
    "status": JOB.c.status,
    "runs": JOB.c.runs,
    "progress": JOB.c.progress,
    "id": JOB.c.id,
}


@dataclass(frozen=True, slots=True)
class Page:
    """A part of an ordered list."""

    size: int
    skip: int
    column: Column[Any]
    descending: bool

    @property
    def is_by_age(self) -> bool:
        """Whether the list is in the order in which jobs were created, or the opposite."""
        return self.column is JOB.c.created_at

    def order(
        self, value: ColumnElement[Any], seq: ColumnElement[int]
    ) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
        """Returns the order by a value, ties broken by age in the same direction.

        Rows without a value come out as the smallest, on every database.
        """
        if self.descending:
            first = value.desc().nulls_last() if self.column.nullable else value.desc()
            return first, seq.desc()
        first = value.asc().nulls_first() if self.column.nullable else value.asc()
        return first, seq.asc()


def page_of(message: paging_pb2.Page) -> Page:
    """Reads a page from a request, or raises InvalidInput."""
    read = read_page(message, ORDERS, LARGEST_PAGE)
    return Page(read.size, read.skip, ORDERS[read.column], not read.ascending)
