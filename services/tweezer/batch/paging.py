"""Reads which part of a list is wanted."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from tweezer.rpc.errors import InvalidInput
from tweezer.v1.paging_pb2 import Page, SortDirection

#: Most items of a page, and how many it has when nobody says.
MAX_SIZE: Final = 100

#: Order when nobody says.
DEFAULT_COLUMN: Final = "created_at"

#: Whether a direction is ascending.
_DIRECTIONS: Final = {
    SortDirection.SORT_DIRECTION_UNSPECIFIED: False,
    SortDirection.SORT_DIRECTION_ASC: True,
    SortDirection.SORT_DIRECTION_DESC: False,
}


@dataclass(frozen=True, slots=True)
class Paging:
    """A part of a list."""

    size: int
    skip: int
    column: str
    ascending: bool


def read_page(page: Page, columns: Iterable[str]) -> Paging:
    """Returns the page that a request asks for, or raises InvalidInput."""
    size = page.size or MAX_SIZE
    if not 1 <= size <= MAX_SIZE:
        raise InvalidInput("limit", f"must be 1 to {MAX_SIZE}, not {size}")
    if page.skip < 0:
        raise InvalidInput("offset", f"must not be negative, and is {page.skip}")
    column = page.order_by or DEFAULT_COLUMN
    known = sorted(columns)
    if column not in known:
        raise InvalidInput("order_by", f"{column[:64]!r} is not one of {', '.join(known)}")
    if page.direction not in _DIRECTIONS:
        raise InvalidInput("order_by_direction", "must be ASC or DESC")
    return Paging(size, page.skip, column, _DIRECTIONS[page.direction])
