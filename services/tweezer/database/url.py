"""Which database a setting names."""

from pathlib import Path
from typing import Final

from pydantic import SecretStr
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from tweezer.process.run import StartFailed

#: What a URL of PostgreSQL may begin with; the driver is always the same.
_POSTGRES: Final = ("postgresql", "postgres", "postgresql+psycopg")

_HOW: Final = "give sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE"


def database_url(setting: str, given: SecretStr | None, file: Path) -> URL:
    """Returns the URL that a setting gives, or that of a file when it gives none.

    StartFailed says what is wrong with it, without showing it: it may hold a password.
    """
    if given is None:
        return sqlite_url(file)
    try:
        url = make_url(given.get_secret_value())
    except (ArgumentError, ValueError):  # the latter for a port that is no number
        raise StartFailed(f"{setting} is not a URL: {_HOW}") from None
    if url.drivername in _POSTGRES:
        if not url.database:
            raise StartFailed(f"{setting} names no database: {_HOW}")
        return url.set(drivername="postgresql+psycopg")
    if url.drivername == "sqlite":
        if not url.database or url.database == ":memory:" or url.host or url.query:
            raise StartFailed(f"{setting} must name a file and nothing else: {_HOW}")
        return sqlite_url(Path(url.database).expanduser().absolute())
    raise StartFailed(f"{setting} names a kind of database that is not supported: {_HOW}")


def sqlite_url(file: Path) -> URL:
    """Returns the URL of a database in a file."""
    return URL.create("sqlite", database=str(file))


def is_postgres(url: URL) -> bool:
    """Says whether a URL is one of PostgreSQL."""
    return url.get_backend_name() == "postgresql"
