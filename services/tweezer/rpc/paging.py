"""Reads which part of a list is wanted, and in which order."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from tweezer.rpc.errors import InvalidInput
from tweezer.v1.paging_pb2 import Page, SortDirection

#: Order when nobody says.
DEFAULT_ORDER: Final = "created_at"

#: Items when nobody says.
DEFAULT_SIZE: Final = 100

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


def read_page(page: Page, columns: Collection[str], largest: int) -> Paging:
    """Returns the page that a request asks for, or raises InvalidInput."""
    if not 0 <= page.size <= largest:
        raise InvalidInput("limit", f"must be 1 to {largest}, not {page.size}")
    if page.skip < 0:
        raise InvalidInput("offset", f"must not be negative, and is {page.skip}")
    column = page.order_by or DEFAULT_ORDER
    if column not in columns:
        known = ", ".join(sorted(columns))
        raise InvalidInput("order_by", f"{column[:64]!r} is not one of {known}")
    if page.direction not in _DIRECTIONS:
        raise InvalidInput("order_by_direction", "must be ASC or DESC")
    size = page.size or min(DEFAULT_SIZE, largest)
    return Paging(size, page.skip, column, _DIRECTIONS[page.direction])
