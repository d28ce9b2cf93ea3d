"""Brings a service's tables up to date with Alembic before the service starts."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine


def upgrade(engine: Engine, scripts: Path) -> None:
    """Runs the migrations in `scripts` that the database lacks.

    Concurrent starts are safe: the whole runs in one write transaction.
    """
    config = Config()
    config.set_main_option("script_location", str(scripts))
    config.attributes["configure_logger"] = False
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def connection_of(config: Config) -> Connection:
    """Returns the connection that `upgrade` passed to the environment script of a service."""
    connection = config.attributes["connection"]
    if not isinstance(connection, Connection):
        raise TypeError("migrations run inside a service: use `tweezer db upgrade`")
    return connection
