"""What a store asks of a database, whichever it is.

Stores are functions of a SQLAlchemy connection. A database decides in which thread, on which kept
connection and in what transaction they run, so that the same store serves SQLite and PostgreSQL.
"""

from collections.abc import Callable
from typing import Protocol, TypeVar

from sqlalchemy import Connection

from tweezer.database.bell import Hearing

T = TypeVar("T")


class Database(Protocol):
    """Runs functions of a connection."""

    async def read(self, query: Callable[[Connection], T]) -> T:
        """Runs a short read over an index."""
        ...

    async def scan(self, query: Callable[[Connection], T]) -> T:
        """Runs a read that may take long, without holding up others."""
        ...

    async def write(self, change: Callable[[Connection], T]) -> T:
        """Runs a change in one transaction: all of it or, when it raises, nothing."""
        ...

    async def listen(self, hearing: Hearing, take_over_s: float) -> None:
        """Hears for ever what other processes with the same database tell."""
        ...

    async def close(self) -> None:
        """Closes the connections."""
        ...
