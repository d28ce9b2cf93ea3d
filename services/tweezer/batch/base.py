"""What the tables of the batch service have in common."""

from collections.abc import Iterable
from typing import ClassVar

from sqlalchemy import BigInteger, Column, Integer, MetaData
from sqlmodel import SQLModel


class BatchTable(SQLModel):
    """Base of the tables, with metadata of its own: other services have theirs."""

    metadata: ClassVar[MetaData] = MetaData()


def counted_key() -> Column[int]:
    """Returns a key that counts up and never repeats: it is also the age of a row."""
    counted = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts INTEGER columns only
    return Column("seq", counted, primary_key=True, autoincrement=True)


def one_of(column: str, values: Iterable[str]) -> str:
    """Returns the SQL condition that a column has one of these values."""
    words = ", ".join(f"'{value}'" for value in sorted(values))
    return f"{column} IN ({words})"
