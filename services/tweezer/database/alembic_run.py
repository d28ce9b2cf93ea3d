"""Runs migrations with Alembic."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection

from tweezer.process.run import StartFailed


def run_migrations(
    connection: Connection, scripts: Path, version_table: str, revision: str
) -> None:
    """Runs the migrations in `scripts` up to a revision; StartFailed when it cannot be reached."""
    config = Config()
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    config.attributes["configure_logger"] = False
    config.attributes["connection"] = connection
    config.attributes["version_table"] = version_table
    try:
        command.upgrade(config, revision)
    except CommandError as error:
        shown = connection.engine.url.render_as_string(hide_password=True)
        raise StartFailed(
            f"the database {shown} was made by a newer version of Tweezer: {error}"
        ) from error


def connection_of(config: Config) -> Connection:
    """Returns the connection that `run_migrations` passed to a service's environment script."""
    connection = config.attributes["connection"]
    if not isinstance(connection, Connection):
        raise TypeError("migrations run inside a service: use `tweezer db upgrade`")
    return connection


def version_table_of(config: Config) -> str:
    """Returns the table in which the environment script of a service says how far it is."""
    return str(config.attributes.get("version_table", "alembic_version"))
