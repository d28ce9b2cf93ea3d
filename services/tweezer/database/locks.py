"""What the stores need to know about locks."""

from typing import Final

from sqlalchemy import Connection, text

_LOCK: Final = text("SELECT pg_advisory_xact_lock(:room, hashtext(:name))")


def has_many_writers(connection: Connection) -> bool:
    """Says whether other transactions write at the same time as this one.

    In SQLite none does: what was read within a change stays true until its end.
    """
    return connection.dialect.name != "sqlite"


def lock_name(connection: Connection, room: int, name: str) -> None:
    """Waits until no other transaction holds a name, and holds it until the end of this one.

    `room` tells apart what the names are of.
    """
    if has_many_writers(connection):
        connection.execute(_LOCK, {"room": room, "name": name})
