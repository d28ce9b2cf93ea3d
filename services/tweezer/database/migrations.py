"""Brings a service's tables up to date with Alembic before the service starts."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import URL, Connection, Engine, text
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
        upgrade(engine, scripts)
        return before


def revisions_of(url: URL, scripts: Path) -> Revisions:
    """Returns how far a database is; StartFailed when it cannot be opened."""
    if not is_postgres(url) and not Path(url.database or "").exists():
        return Revisions(None, _newest(scripts))  # to look must not make the file
    with _opened(url) as engine:
        return _revisions(engine, scripts)


def upgrade(engine: Engine, scripts: Path, revision: str = "head") -> None:
    """Runs the migrations in `scripts` that the database lacks, in one transaction."""
    config, service = _config(scripts), service_of(scripts)
    with alone(engine) as connection:
        require_own(connection, service)
        config.attributes["connection"] = connection
        config.attributes["version_table"] = version_table(connection, service)
        command.upgrade(config, revision)


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


def connection_of(config: Config) -> Connection:
    """Returns the connection that `upgrade` passed to the environment script of a service."""
    connection = config.attributes["connection"]
    if not isinstance(connection, Connection):
        raise TypeError("migrations run inside a service: use `tweezer db upgrade`")
    return connection


def version_table_of(config: Config) -> str:
    """Returns the table in which the environment script of a service says how far it is."""
    return str(config.attributes.get("version_table", "alembic_version"))


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
    except CommandError as error:
        raise StartFailed(
            f"the database {shown} was made by a newer version of Tweezer: {error}"
        ) from error
    finally:
        engine.dispose()


def _config(scripts: Path) -> Config:
    config = Config()
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    config.attributes["configure_logger"] = False
    return config


def _revisions(engine: Engine, scripts: Path) -> Revisions:
    with engine.connect() as connection:
        table = version_table(connection, service_of(scripts))
        context = MigrationContext.configure(connection, opts={"version_table": table})
        current = context.get_current_revision()
    return Revisions(current, _newest(scripts))


def _newest(scripts: Path) -> str:
    newest = ScriptDirectory.from_config(_config(scripts)).get_current_head()
    if newest is None:
        raise ValueError(f"there are no migrations in {scripts}")
    return newest
