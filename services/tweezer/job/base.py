"""What the tables of the job service have in common."""

from typing import ClassVar

from sqlalchemy import BigInteger, Column, Integer, MetaData
from sqlmodel import SQLModel


class JobTable(SQLModel):
    """Base of the tables, with metadata of its own: other services have theirs."""

    metadata: ClassVar[MetaData] = MetaData()


def counted_key() -> Column[int]:
    """Returns a key that counts up and never repeats: it is also the age of a row."""
    counted = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts INTEGER columns only
    return Column("seq", counted, primary_key=True, autoincrement=True)
