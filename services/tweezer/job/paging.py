"""Which part of a list is wanted, and in which order."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Column, ColumnElement

from tweezer.job.models import JOB
from tweezer.rpc.errors import InvalidInput
from tweezer.v1 import paging_pb2

#: The most items of a page.
LARGEST_PAGE: Final = 1000

#: How many there are when nothing is asked for.
DEFAULT_PAGE: Final = 100

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

_DEFAULT_ORDER: Final = "created_at"


@dataclass(frozen=True, slots=True)
class Page:
    """A part of an ordered list."""

    size: int
    skip: int
    column: Column[Any]
    descending: bool

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
    if not 0 <= message.size <= LARGEST_PAGE:
        raise InvalidInput("limit", f"must be between 1 and {LARGEST_PAGE}.")
    if message.skip < 0:
        raise InvalidInput("offset", "must not be negative.")
    column = ORDERS.get(message.order_by or _DEFAULT_ORDER)
    if column is None:
        raise InvalidInput("order_by", f"must be one of {', '.join(ORDERS)}.")
    if message.direction not in paging_pb2.SortDirection.values():
        raise InvalidInput("order_by_direction", "must be ASC or DESC.")
    descending = message.direction != paging_pb2.SORT_DIRECTION_ASC
    return Page(message.size or DEFAULT_PAGE, message.skip, column, descending)
