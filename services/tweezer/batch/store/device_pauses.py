"""Statements on the devices that operators hold back."""

from typing import Final

from sqlalchemy import Connection, bindparam, delete, insert, select

from tweezer.batch.models import DEVICE_PAUSE

_PAUSED: Final = select(DEVICE_PAUSE.c.device_type)
_RESUME: Final = delete(DEVICE_PAUSE).where(DEVICE_PAUSE.c.device_type == bindparam("resumed"))


def paused_devices(connection: Connection) -> frozenset[str]:
    """Returns the types of the devices that are held back."""
    return frozenset(row[0] for row in connection.execute(_PAUSED))


def pause_device(connection: Connection, device_type: str, user_id: str, now: int) -> None:
    """Holds a device back; does nothing when it is held back already."""
    if device_type not in paused_devices(connection):
        row = {"device_type": device_type, "user_id": user_id, "created_at": now}
        connection.execute(insert(DEVICE_PAUSE), row)


def resume_device(connection: Connection, device_type: str) -> None:
    """Lets a device go on."""
    connection.execute(_RESUME, {"resumed": device_type})
