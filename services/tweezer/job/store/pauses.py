"""Devices that are held back."""

from collections.abc import Collection, Sequence
from typing import Final

from sqlalchemy import Connection, bindparam, delete, insert, select

from tweezer.database.bell import ring
from tweezer.job.models import PAUSED_DEVICE
from tweezer.job.store import words


def replace(connection: Connection, paused: Collection[str]) -> bool:
    """Holds these devices back and no others; says whether a device goes on."""
    before = set(connection.execute(_ALL).scalars())
    resumed = sorted(before.difference(paused))
    if resumed:
        connection.execute(_RESUME, {"devices": resumed})
        ring(connection, words.JOBS_READY)
    added = sorted(set(paused) - before)
    if added:
        connection.execute(_PAUSE, [{"device_type": device_type} for device_type in added])
    return bool(resumed)


def served(connection: Connection, device_types: Sequence[str]) -> list[str]:
    """Returns those of some devices that are not held back."""
    paused = set(connection.execute(_PAUSED, {"devices": list(device_types)}).scalars())
    return [device_type for device_type in device_types if device_type not in paused]


_ALL: Final = select(PAUSED_DEVICE.c.device_type)
_PAUSED: Final = _ALL.where(PAUSED_DEVICE.c.device_type.in_(bindparam("devices", expanding=True)))
_PAUSE: Final = insert(PAUSED_DEVICE)
_RESUME: Final = delete(PAUSED_DEVICE).where(
    PAUSED_DEVICE.c.device_type.in_(bindparam("devices", expanding=True))
)
