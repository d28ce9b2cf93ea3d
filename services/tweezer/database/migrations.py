"""Brings a service's tables up to date with Alembic before the service starts."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import URL, Connection, Engine, String, column, inspect, select, text
from sqlalchemy import table as table_named
from sqlalchemy.exc import DBAPIError

from tweezer.database.opening import create_engine_of
from tweezer.database.ownership import require_own, service_of, version_table
from tweezer.database.trouble import trouble
from tweezer.database.url import is_postgres
from tweezer.process.run import StartFailed

#: Names the lock, among those of a database of PostgreSQL, that those who start hold in turn.
_START_LOCK: Final = 0x7477_6565_7A65_7201


@dataclass(frozen=True, slots=True)
class Revisions:
    """How far a database is."""

    current: str | None  #: None when it has no tables so far
    newest: str


def upgrade_database(url: URL, scripts: Path) -> Revisions:
    """Runs the migrations that a database lacks and returns what it had; StartFailed when it can't.

    Concurrent starts are safe: the first does it, the others wait and find nothing to do.
    """
    with _opened(url) as engine:
        before = _revisions(engine, scripts)
        if before.current != before.newest:
            upgrade(engine, scripts)
        else:
            with alone(engine) as connection:
                require_own(connection, service_of(scripts))
        return before


def revisions_of(url: URL, scripts: Path) -> Revisions:
    """Returns how far a database is; StartFailed when it cannot be opened."""
    if not is_postgres(url) and not Path(url.database or "").exists():
        return Revisions(None, newest_revision(scripts))  # to look must not make the file
    with _opened(url) as engine:
        return _revisions(engine, scripts)


def upgrade(engine: Engine, scripts: Path, revision: str = "head") -> None:
    """Runs the migrations in `scripts` that the database lacks, in one transaction."""
    # Takes a fifth of a second in each process, which most starts need not spend.
    from tweezer.database.alembic_run import run_migrations

    service = service_of(scripts)
    with alone(engine) as connection:
        require_own(connection, service)
        run_migrations(connection, scripts, version_table(connection, service), revision)


@contextmanager
def alone(engine: Engine) -> Iterator[Connection]:
    """Begins a transaction that no other process is in at the same time through this."""
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            # A migration may take long, and another process may wait for it.
            connection.execute(text("SET LOCAL lock_timeout = 0"))
            connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _START_LOCK})
        yield connection


@contextmanager
def _opened(url: URL) -> Iterator[Engine]:
    shown = url.render_as_string(hide_password=True)
    engine = create_engine_of(url)
    try:
        yield engine
    except DBAPIError as error:
        if trouble(error) is None:
            raise
        raise StartFailed(f"the database {shown} cannot be used: {error.orig}") from error
    finally:
        engine.dispose()


def _revisions(engine: Engine, scripts: Path) -> Revisions:
    with engine.connect() as connection:
        table = version_table(connection, service_of(scripts))
        current = None
        if inspect(connection).has_table(table):
            version = select(column("version_num", String)).select_from(table_named(table))
            current = connection.execute(version).scalar_one_or_none()
    return Revisions(current, newest_revision(scripts))


def newest_revision(scripts: Path) -> str:
    """Returns the last migration in a folder; the names of the files begin with the revisions."""
    names = (script.name.removeprefix("v") for script in scripts.glob("versions/*0*_*.py"))
    return max(name.partition("_")[0] for name in names)
