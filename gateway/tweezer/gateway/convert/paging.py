"""Pages of lists."""

from tweezer.gateway.convert import words
from tweezer.gateway.schemas.queries import PageQuery, SliceQuery
from tweezer.v1.paging_pb2 import Page


def page_of(query: PageQuery) -> Page:
    """Returns the page that a query asks for."""
    return Page(
        size=query.limit,
        skip=query.offset,
        order_by=query.order_by,
        direction=words.SORT_DIRECTION_OF[query.order_by_direction],
    )


def slice_of(query: SliceQuery) -> Page:
    """Returns the part of a list that a query asks for; the service knows the order."""
    return Page(size=query.limit, skip=query.offset)
