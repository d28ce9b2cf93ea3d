"""Which job an exclusive device runs next.

Such a device runs one job at a time, and one batch at a time. It is kept for a batch that has
started until that is finished: closed or cancelled, and all its jobs final. When it is kept for
none, the batch of the first job in the queue gets it. Its jobs run in creation order.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, Final

from sqlalchemy import (
    BindParameter,
    Connection,
    Select,
    bindparam,
    exists,
    func,
    not_,
    select,
    union_all,
)

from tweezer.job.conditions import leasable_exclusively, occupies, reserves
from tweezer.job.models import JOB, QUEUED_BATCH


def next_jobs(connection: Connection, device_types: Sequence[str]) -> list[int]:
    """Returns the number of the job that is next on each exclusive device which is free."""
    devices = {_device(number): device for number, device in enumerate(device_types)}
    return list(connection.execute(_next_jobs(len(device_types)), devices).scalars())


def _device(number: int) -> str:
    return f"device_{number}"


@cache
def _next_jobs(devices: int) -> Select[Any]:
    if devices == 1:
        return _next_job(0)
    heads = [_next_job(number).subquery() for number in range(devices)]
    every = union_all(*(select(head.c.seq) for head in heads)).subquery()
    return select(every.c.seq)


def _next_job(number: int) -> Select[Any]:
    device: BindParameter[str] = bindparam(_device(number))
    kept_for = (
        select(QUEUED_BATCH.c.id)
        .where(reserves(QUEUED_BATCH), QUEUED_BATCH.c.device_type == device)
        .order_by(QUEUED_BATCH.c.start_at, QUEUED_BATCH.c.seq)
        .limit(1)
    )
    first = (
        select(_WAITING.c.batch_id)
        .where(leasable_exclusively(_WAITING), _WAITING.c.device_type == device)
        .order_by(_WAITING.c.queue_rank, _WAITING.c.seq)
        .limit(1)
    )
    occupied = exists().where(occupies(_LEASED), _LEASED.c.device_type == device)
    return (
        select(JOB.c.seq)
        .where(
            leasable_exclusively(JOB),
            JOB.c.batch_id == func.coalesce(kept_for.scalar_subquery(), first.scalar_subquery()),
            JOB.c.device_type == device,
            not_(occupied),
        )
        .order_by(JOB.c.creation_order)
        .limit(1)
    )


_WAITING: Final = JOB.alias("waiting")
_LEASED: Final = JOB.alias("leased")
