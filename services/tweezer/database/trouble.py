"""Tells a database that is away, full or locked from an error of ours: the one place that knows.

Such trouble passes without a change of the program, so callers are told to try again and loops go
on by themselves. Anything else a database says, a refused constraint for example, is passed on.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import structlog
from sqlalchemy import exc

from tweezer.rpc.errors import InvalidInput, Unavailable

log = structlog.get_logger(__name__)


class DatabaseUnavailable(Unavailable):
    """The database cannot do at present what was asked of it; nothing of it was done."""


_AWAY: Final = "the database is not available at present"
_LOCKED: Final = "the database is locked by another program at present"
_FULL: Final = "the database has no space left at present"
_READ_ONLY: Final = "the database cannot be written at present"

#: By SQLite's primary result codes.
_OF_SQLITE: Final = {
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_LOCKED: _LOCKED,
    sqlite3.SQLITE_PROTOCOL: _LOCKED,
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_READONLY: _READ_ONLY,
    sqlite3.SQLITE_IOERR: _AWAY,
    sqlite3.SQLITE_CANTOPEN: _AWAY,
    sqlite3.SQLITE_NOMEM: _AWAY,
}
#: By the beginning of PostgreSQL's SQLSTATE; the first that fits.
_OF_POSTGRES: Final = {
    "53100": _FULL,  # disk full
    "53": _AWAY,  # other resources
    "08": _AWAY,  # the connection
    "57P": _AWAY,  # shut down, starting
    "25006": _READ_ONLY,  # a standby
    "25P03": _AWAY,  # idle for too long in a transaction
    "55P03": _LOCKED,  # lock not available
    "40": _LOCKED,  # deadlock, serialisation
    "58": _AWAY,  # the system below
}


@contextmanager
def trouble_told() -> Iterator[None]:
    """Raises DatabaseUnavailable for what a database says about itself rather than about us.

    InvalidInput for a text that it cannot store.
    """
    try:
        yield
    except (exc.DBAPIError, exc.TimeoutError, sqlite3.Error) as error:
        if isinstance(error, exc.DataError) and "NUL" in str(error.orig):
            # PostgreSQL stores no such text, and nothing that is stored has it.
            raise InvalidInput("request", "must not contain the character U+0000") from None
        sentence = trouble(error)
        if sentence is None:
            raise
        log.error(sentence, cause=str(_said_by_driver(error)))
        raise DatabaseUnavailable(sentence) from error


def trouble(error: Exception) -> str | None:
    """Returns what is the matter with the database, or None when the matter is another."""
    if isinstance(error, exc.TimeoutError):
        return _AWAY  # no connection became free in time
    told = _said_by_driver(error)
    code = getattr(told, "sqlite_errorcode", None)
    if code is not None:
        return _OF_SQLITE.get(code & 0xFF)  # the rest of it are details
    state = getattr(told, "sqlstate", None)
    if state is not None:
        return next((text for head, text in _OF_POSTGRES.items() if state.startswith(head)), None)
    if not isinstance(error, exc.DBAPIError):
        return None
    lost = error.connection_invalidated or isinstance(error, exc.OperationalError)
    return _AWAY if lost else None


def _said_by_driver(error: Exception) -> BaseException | None:
    return error.orig if isinstance(error, exc.DBAPIError) else error
