"""Statements that read a list from a place in it that is known.

A place is the key of a row: its time of creation, and its number among those of the same time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from sqlalchemy import (
    BigInteger,
    BindParameter,
    Connection,
    Integer,
    Select,
    bindparam,
    func,
    literal_column,
    select,
    tuple_,
)

from tweezer.job.filters import Condition
from tweezer.job.models import JOB
from tweezer.job.store.reads import JOB_COLUMNS

#: The place of a row in a list by age.
Key: TypeAlias = tuple[int, int]

_MOST: Final = 2**63 - 1

#: Places before and after all rows.
BEGINNING: Final[Key] = (-_MOST, -_MOST)
END: Final[Key] = (_MOST, _MOST)


@dataclass(frozen=True, slots=True)
class PlacedQueries:
    """The statements for one list of jobs."""

    project_id: str
    """Whose jobs are listed."""
    further: Select[Any]
    """The key that is so many rows further on."""
    newer: Select[int]
    """How many rows come after a key, as far as they are counted."""
    upwards: Select[Any]
    """A part of what comes after a key, oldest first."""
    downwards: Select[Any]
    """A part of what comes before a key and of its own row, newest first."""


def placed_queries(project_id: str, where: Sequence[Condition]) -> PlacedQueries:
    """Returns the statements for jobs of one project that fulfil some conditions."""
    by_age = (JOB.c.created_at, JOB.c.seq)
    newest_first = (JOB.c.created_at.desc(), JOB.c.seq.desc())
    # Compared as pairs, rows are found by a range of the index on both databases.
    row = tuple_(*by_age)
    place = tuple_(*(bindparam(name, type_=BigInteger) for name in ("key_time", "key_seq")))
    after, up_to = row > place, row <= place
    limit, offset = _whole("size"), _whole("passed_over")

    # What is passed over is looked at in the index alone; only the part itself is read in full.
    def part(condition: Condition, order: Sequence[Any]) -> Select[Any]:
        keys = select(JOB.c.seq).where(*where, condition).order_by(*order)
        keys = keys.limit(limit).offset(offset).correlate(None)
        return select(*JOB_COLUMNS).where(JOB.c.seq.in_(keys)).order_by(*order)

    one: Select[Any] = select(literal_column("1")).select_from(JOB)
    # In order, lest a planner count them in an index that has other columns before the time.
    counted = one.where(*where, after).order_by(*by_age).limit(limit)
    return PlacedQueries(
        project_id,
        further=select(*by_age)
        .where(*where, after, JOB.c.created_at <= bindparam("until", type_=BigInteger))
        .order_by(*by_age)
        .limit(1)
        .offset(offset),
        newer=select(func.count()).select_from(counted.subquery()),
        upwards=part(after, by_age),
        downwards=part(up_to, newest_first),
    )


def _whole(name: str) -> BindParameter[int]:
    return bindparam(name, type_=Integer)


def keys_further(
    connection: Connection, queries: PlacedQueries, key: Key, step: int, until: int
) -> Iterator[Key]:
    """Returns every so many-th key after one, as long as the rows are not too new."""
    others = {"passed_over": step - 1, "until": until}
    while found := connection.execute(queries.further, {**_at(key), **others}).first():
        key = found[0], found[1]
        yield key


def newer_rows(connection: Connection, queries: PlacedQueries, key: Key, most: int) -> int:
    """Returns how many rows come after a key; of more than `most`, that number."""
    return connection.execute(queries.newer, {**_at(key), "size": most}).scalar_one()


def part_of(
    connection: Connection,
    queries: PlacedQueries,
    key: Key,
    passed_over: int,
    size: int,
    *,
    descending: bool,
) -> Sequence[Sequence[Any]]:
    """Returns rows from a key on, up or down, without the first ones that are passed over."""
    query = queries.downwards if descending else queries.upwards
    values = {**_at(key), "passed_over": passed_over, "size": size}
    return connection.execute(query, values).all()


def _at(key: Key) -> dict[str, int]:
    return {"key_time": key[0], "key_seq": key[1]}
