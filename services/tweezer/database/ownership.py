"""Which service a database belongs to: two in one would take each other's tables for their own."""

import zlib
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, inspect

from tweezer.process.run import StartFailed

_VERSION: Final = "alembic_version"


def service_of(scripts: Path) -> str:
    """Returns the service that migrations are of: the room that they are in."""
    return scripts.parent.name


def version_table(connection: Connection, service: str) -> str:
    """Returns the table that says how far a database is."""
    # In files it has had this name from the first release on.
    return _VERSION if _is_file(connection) else f"{_VERSION}_{service}"


def require_own(connection: Connection, service: str) -> None:
    """Raises StartFailed when a database belongs to another service."""
    owner = _owner_of_file(connection, service) if _is_file(connection) else _owner(connection)
    if owner not in (None, service):
        raise StartFailed(
            f"the database {connection.engine.url.render_as_string(hide_password=True)} belongs"
            f" to {owner}, and the {service} service needs one of its own"
        )


def _is_file(connection: Connection) -> bool:
    return connection.dialect.name == "sqlite"


def _owner(connection: Connection) -> str | None:
    for table in inspect(connection).get_table_names():
        if table.startswith(_VERSION):
            return table.removeprefix(f"{_VERSION}_") if table != _VERSION else "another program"
    return None


def _owner_of_file(connection: Connection, service: str) -> str | None:
    """Says whose a file is, which is made known in the place that SQLite has for this."""
    mark = zlib.crc32(service.encode()) & 0x7FFF_FFFF
    found = connection.exec_driver_sql("PRAGMA application_id").scalar_one()
    if found == 0:  # it is new, or of the first release
        connection.exec_driver_sql(f"PRAGMA application_id = {mark}")
        return service
    return service if found == mark else "another service"
