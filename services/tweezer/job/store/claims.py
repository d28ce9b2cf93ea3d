"""Picks jobs where other processes pick at the same time.

Each process passes over the jobs that another has locked, so that none waits for another and none
goes away with empty hands while there are jobs. In SQLite there is one writer, and no need for it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Select, bindparam, select

from tweezer.database.locks import lock_name
from tweezer.job.models import JOB
from tweezer.job.store import exclusive
from tweezer.lifecycle import JobStatus

#: Tells the locks of devices apart from others.
_DEVICES: Final = 1

#: How many more jobs are looked at when some of those next in line are in other hands.
_FURTHER: Final = 4


def next_alone(connection: Connection, device_types: Sequence[str]) -> list[int]:
    """Returns the number of the job that is next on each exclusive device which is free.

    Until the end of the transaction nobody else leases a job of these devices: which one is next
    depends on what was leased before.
    """
    found = exclusive.next_jobs(connection, device_types)
    if not found:
        return []
    devices = list(connection.execute(_DEVICES_OF, {"numbers": found}).scalars())
    for device_type in sorted(devices):
        lock_name(connection, _DEVICES, device_type)
    return exclusive.next_jobs(connection, devices)


def claim(
    connection: Connection, next_in_line: Select[Any], values: Mapping[str, Any], max_jobs: int
) -> list[int]:
    """Locks the jobs next in line that nobody else is taking, and returns their numbers."""
    looked_at = max_jobs
    while True:
        numbers = connection.execute(next_in_line, {**values, "max_jobs": looked_at})
        candidates = [row[0] for row in numbers]
        if not candidates:
            return []
        locked = connection.execute(_LOCK, {"numbers": candidates, "at_most": max_jobs})
        claimed = list(locked.scalars())
        if len(claimed) == max_jobs or len(candidates) < looked_at:
            return claimed
        looked_at *= _FURTHER


_DEVICES_OF: Final = (
    select(JOB.c.device_type).where(JOB.c.seq.in_(bindparam("numbers", expanding=True))).distinct()
)
_LOCK: Final = (
    select(JOB.c.seq)
    .where(
        JOB.c.seq.in_(bindparam("numbers", expanding=True)),
        JOB.c.status == JobStatus.PENDING.value,
        JOB.c.ready,
    )
    .order_by(JOB.c.queue_rank, JOB.c.seq)
    .limit(bindparam("at_most"))
    .with_for_update(skip_locked=True)
)
