from collections.abc import Callable

from tweezer.database.totals import Totals


class Table:
    """Rows that take a time to count."""

    def __init__(self, rows: int, takes_s: float) -> None:
        self.rows, self.takes_s, self.now = rows, takes_s, 100.0
        self.totals = Totals(lambda: self.now)

    def count(self) -> int:
        self.now += self.takes_s
        return self.rows


def of(table: Table, key: str = "all", count: Callable[[], int] | None = None) -> int:
    return table.totals.of(key, count or table.count)


def test_few_rows_are_counted_each_time() -> None:
    table = Table(rows=100, takes_s=0.004)
    assert of(table) == 100
    table.rows = 101
    assert of(table) == 101


def test_many_rows_are_remembered_however_quickly_they_are_counted() -> None:
    table = Table(rows=10_001, takes_s=0.0)
    assert of(table) == 10_001
    table.rows = 10_002
    table.now += 0.99
    assert of(table) == 10_001
    table.now += 0.02
    assert of(table) == 10_002


def test_many_rows_are_counted_again_after_twenty_times_as_long() -> None:
    table = Table(rows=1_000_000, takes_s=0.1)
    assert of(table) == 1_000_000
    table.rows += 1
    table.now += 1.99
    assert of(table) == 1_000_000
    table.now += 0.02
    assert of(table) == 1_000_001


def test_what_is_counted_quickly_enough_is_still_remembered_for_a_second() -> None:
    table = Table(rows=1, takes_s=0.006)
    of(table)
    table.rows = 2
    table.now += 0.99
    assert of(table) == 1
    table.now += 0.02
    assert of(table) == 2


def test_no_number_is_remembered_for_more_than_five_seconds() -> None:
    table = Table(rows=1, takes_s=10.0)
    of(table)
    table.rows = 2
    table.now += 5.01
    assert of(table) == 2


def test_each_list_has_its_own_number() -> None:
    table = Table(rows=7, takes_s=1.0)
    assert of(table, "these") == 7
    assert of(table, "those", lambda: 3) == 3
    assert of(table, "these", lambda: 4) == 7


def test_the_oldest_numbers_are_forgotten() -> None:
    table = Table(rows=1, takes_s=0.3)
    of(table, "first")
    table.takes_s = 0.006  # all of the others lie within the life of the first one
    for number in range(256):
        of(table, str(number))
    table.rows = 2
    assert of(table, "first") == 2
