import pytest

from tweezer.job.models import JOB
from tweezer.job.paging import ORDERS, page_of
from tweezer.rpc.errors import InvalidInput
from tweezer.v1 import paging_pb2
from tweezer.v1.paging_pb2 import SORT_DIRECTION_ASC, SORT_DIRECTION_DESC


def test_nothing_asked_for_is_the_newest_hundred() -> None:
    page = page_of(paging_pb2.Page())
    assert (page.size, page.skip, page.descending) == (100, 0, True)
    assert page.column is JOB.c.created_at


def test_what_is_asked_for_is_taken() -> None:
    page = page_of(
        paging_pb2.Page(size=7, skip=3, order_by="creation_order", direction=SORT_DIRECTION_ASC)
    )
    assert (page.size, page.skip, page.descending) == (7, 3, False)
    assert page.column is JOB.c.creation_order


@pytest.mark.parametrize("size", [1, 100, 1000])
def test_the_bounds_of_a_page_are_allowed(size: int) -> None:
    assert page_of(paging_pb2.Page(size=size)).size == size


@pytest.mark.parametrize(
    ("field", "asked"),
    [
        ("limit", {"size": -1}),
        ("limit", {"size": 1001}),
        ("offset", {"skip": -1}),
        ("order_by", {"order_by": "seq"}),
        ("order_by", {"order_by": "created_at; DROP TABLE job"}),
        ("order_by_direction", {"direction": 7}),
    ],
)
def test_bounds_are_named_as_in_rest(field: str, asked: dict[str, object]) -> None:
    with pytest.raises(InvalidInput) as refused:
        page_of(paging_pb2.Page(**asked))
    assert refused.value.field == field


def test_the_largest_page_is_told() -> None:
    with pytest.raises(InvalidInput, match=r"^limit: must be 1 to 1000, not 1001$"):
        page_of(paging_pb2.Page(size=1001))


@pytest.mark.parametrize("name", list(ORDERS))
@pytest.mark.parametrize("direction", [SORT_DIRECTION_ASC, SORT_DIRECTION_DESC])
def test_ties_are_broken_by_age_in_the_same_direction(name: str, direction: int) -> None:
    page = page_of(paging_pb2.Page(order_by=name, direction=direction))
    first, second = (str(part) for part in page.order(page.column, JOB.c.seq))
    word = "DESC" if page.descending else "ASC"
    assert second == f"job.seq {word}"
    nulls = (" NULLS LAST" if page.descending else " NULLS FIRST") if page.column.nullable else ""
    assert first == f"{page.column} {word}{nulls}"
