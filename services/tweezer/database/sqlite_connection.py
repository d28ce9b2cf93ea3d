"""A connection to an SQLite file that is kept until something is the matter with it."""

from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection

from tweezer.database.trouble import DatabaseUnavailable


class KeptConnection:
    """Opened at the first use, and anew after it was dropped; for one thread."""

    def __init__(self, path: Path, connect: Callable[[], Connection]) -> None:
        self._path, self._connect = path, connect
        self._connection: Connection | None = None
        self._dropped = False

    def get(self) -> Connection:
        """Returns the connection."""
        if self._connection is None:
            # Instead of one that is away for a while, SQLite would make an empty one.
            if self._dropped and not self._path.exists():
                raise DatabaseUnavailable("the file of the database is not there at present")
            self._connection = self._connect()
        return self._connection

    def drop(self) -> None:
        """Closes the connection: a new one finds a file that was away or replaced."""
        connection, self._connection = self._connection, None
        self._dropped = True
        if connection is not None:
            connection.close()
