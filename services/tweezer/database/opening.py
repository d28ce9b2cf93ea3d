"""Opens databases by URL."""

from pathlib import Path

from sqlalchemy import URL, Engine

from tweezer.database.database import Database
from tweezer.database.sqlite import SqliteDatabase, create_sqlite_engine
from tweezer.database.url import is_postgres
from tweezer.process.run import StartFailed


def create_engine_of(url: URL) -> Engine:
    """Returns an engine whose transactions are those of the stores, for what is not a service."""
    if is_postgres(url):
        _require_driver()
        from tweezer.database.postgres import create_postgres_engine

        return create_postgres_engine(url)
    return create_sqlite_engine(Path(url.database or ""))


def open_database(url: URL, connections: int) -> Database:
    """Opens a database; it has its tables already."""
    if is_postgres(url):
        _require_driver()
        from tweezer.database.postgres import PostgresDatabase

        return PostgresDatabase(url, connections)
    return SqliteDatabase(Path(url.database or ""))


def _require_driver() -> None:
    try:
        import psycopg  # noqa: F401
    except ImportError:
        raise StartFailed(
            "PostgreSQL needs a driver that is not installed: pip install 'tweezer[postgres]'"
        ) from None
