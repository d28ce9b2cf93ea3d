"""Looks up how much there is to do; counted in indexes that hold nothing that is finished."""

from typing import Any, Final

from sqlalchemy import Connection, Select, func, not_, select

from tweezer.job.conditions import leasable, leasable_exclusively, unacknowledged
from tweezer.job.models import JOB, QUEUED_ADDITION, QUEUED_BATCH


def queue_lengths(connection: Connection) -> dict[tuple[str, int], int]:
    """Returns how many jobs wait for a worker, by device type and rank of the queue."""
    return {
        (device, rank): number
        for statement in _QUEUES
        for device, rank, number in connection.execute(statement)
    }


def leases_held(connection: Connection) -> int:
    """Returns how many jobs are with workers."""
    return connection.execute(_LEASES).scalar_one()


def additions_held(connection: Connection) -> int:
    """Returns of how many additions it is not known yet whether they were committed."""
    return connection.execute(_ADDITIONS).scalar_one()


def batches_unreported(connection: Connection) -> int:
    """Returns how many batches have progress that BatchService does not know yet."""
    return connection.execute(_UNREPORTED).scalar_one()


def _lengths(where: Any) -> Select[Any]:
    return (
        select(JOB.c.device_type, JOB.c.queue_rank, func.count())
        .where(where)
        .group_by(JOB.c.device_type, JOB.c.queue_rank)
    )


# Of a device, either all jobs are exclusive or none is.
_QUEUES: Final = (_lengths(leasable(JOB)), _lengths(leasable_exclusively(JOB)))
_LEASES: Final = select(func.count()).where(JOB.c.lease_expires_at.is_not(None))
_ADDITIONS: Final = (
    select(func.count()).select_from(QUEUED_ADDITION).where(not_(QUEUED_ADDITION.c.released))
)
_UNREPORTED: Final = (
    select(func.count()).select_from(QUEUED_BATCH).where(unacknowledged(QUEUED_BATCH))
)
