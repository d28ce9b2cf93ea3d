"""Hands out and extends leases."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from operator import itemgetter
from typing import Any, Final

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Select,
    String,
    Update,
    bindparam,
    cast,
    select,
    union_all,
    update,
)

from tweezer.database.locks import has_many_writers
from tweezer.job.conditions import leasable
from tweezer.job.models import JOB, QUEUED_BATCH
from tweezer.job.store import claims, exclusive, pauses
from tweezer.job.store.changes import columns_in
from tweezer.job.store.counts import Tally
from tweezer.job.tokens import job_number, new_secret
from tweezer.lifecycle import JobEvent, JobStatus, transitions

#: One status leads to a lease.
((_WAITING, _LEASED),) = transitions(JobEvent.LEASE).items()


@dataclass(frozen=True, slots=True)
class Lease:
    """A job in the hands of a worker."""

    token: str
    job_id: str
    attempt: int
    created_at: int
    expires_at: int
    runs: int | None
    variables_json: str | None
    program_hash: str | None


@dataclass(frozen=True, slots=True)
class LeasedBatch:
    """Leased jobs of one batch, with what they share."""

    batch_id: str
    device_type: str
    program_hash: str | None
    backend_configuration: str | None
    configuration_json: str | None
    leases: list[Lease] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Renewal:
    """A lease to extend."""

    token: str
    progress: int


def take(
    connection: Connection, device_types: Sequence[str], max_jobs: int, expires_at: int, now: int
) -> list[LeasedBatch]:
    """Leases the jobs next in line and returns them by batch, in the order of the queue.

    One guarded UPDATE: whatever else happens at the same time, a job goes to one worker. Nothing
    of devices that are held back is leased, and at most one job of each exclusive device.
    """
    devices = pauses.served(connection, device_types)
    if not devices:
        return []
    lease = {"expires_at": expires_at, "now": now, "secret": new_secret()}
    rows = _take(connection, devices, max_jobs, lease)
    if not rows:
        return []
    in_order = sorted(rows, key=itemgetter(0, 1))  # RETURNING promises no order
    tally = Tally()
    for row in in_order:
        tally.moved(row[2], _WAITING, _LEASED)
    tally.write(connection, now)
    return _by_batch(connection, in_order, expires_at)


def _take(
    connection: Connection, devices: Sequence[str], max_jobs: int, lease: dict[str, Any]
) -> Sequence[Sequence[Any]]:
    named = {_device(number): device for number, device in enumerate(devices)}
    if has_many_writers(connection):
        alone = claims.next_alone(connection, devices)
        line = _in_line(len(devices), bool(alone))
        numbers = claims.claim(connection, line, {**named, "alone": alone}, max_jobs)
        return connection.execute(_LEASE_CLAIMED, {**lease, "numbers": numbers}).all()
    alone = exclusive.next_jobs(connection, devices)
    among = {**named, "max_jobs": max_jobs, **({"alone": alone} if alone else {})}
    return connection.execute(_lease(len(devices), bool(alone)), {**lease, **among}).all()


def _by_batch(
    connection: Connection, rows: Sequence[Sequence[Any]], expires_at: int
) -> list[LeasedBatch]:
    ids = list(dict.fromkeys(row[2] for row in rows))
    found = {row[0]: row for row in connection.execute(_SHARED, {"of_batches": ids})}
    batches = {id_: LeasedBatch(*found[id_]) for id_ in ids}
    for _, _, batch_id, job_id, token, attempt, created_at, *own in rows:
        batches[batch_id].leases.append(Lease(token, job_id, attempt, created_at, expires_at, *own))
    return list(batches.values())


def renew(
    connection: Connection, renewals: Sequence[Renewal], expires_at: int, now: int
) -> list[str]:
    """Extends leases, keeps their progress and returns the tokens whose work must stop.

    The lease of a cancelled job is not extended: a worker that does not stop loses it.
    """
    numbers = [number for renewal in renewals if (number := job_number(renewal.token)) is not None]
    held = {
        token: (seq, progress)
        for seq, token, status, progress in connection.execute(_HELD, {"numbers": numbers})
        if status == JobStatus.RUNNING
    }
    alive = [renewal for renewal in renewals if renewal.token in held]
    if alive:
        connection.execute(
            _EXTEND,
            [
                {"number": held[r.token][0], "held_token": r.token, "expires_at": expires_at}
                for r in alive
            ],
        )
    advanced = [
        {"number": seq, "held_token": r.token, "percentage": r.progress, "now": now}
        for r in alive
        for seq, progress in (held[r.token],)
        if progress != r.progress
    ]
    if advanced:
        connection.execute(_ADVANCE, advanced)
    return [renewal.token for renewal in renewals if renewal.token not in held]


def earliest_expiry(connection: Connection) -> int | None:
    """Returns when the lease that ends first ends, if there is any."""
    return connection.execute(_EARLIEST_EXPIRY).scalar()


def postpone_expiry(connection: Connection, until: int) -> None:
    """Lets no lease of a job that is still wanted end before `until`."""
    connection.execute(_POSTPONE, {"until": until})


def _device(number: int) -> str:
    return f"device_{number}"


@cache
def _lease(devices: int, some_alone: bool = False) -> Update:
    return _lease_of(JOB.c.seq.in_(next_in_line(devices, some_alone)))


@cache
def _in_line(devices: int, some_alone: bool) -> Select[Any]:
    return next_in_line(devices, some_alone)


def _lease_of(chosen: ColumnElement[bool]) -> Update:
    return (
        update(JOB)
        .where(JOB.c.status == _WAITING.value, chosen)
        .values(
            **columns_in(_LEASED, bindparam("now")),
            lease_token=cast(JOB.c.seq, String) + bindparam("secret"),
            lease_expires_at=bindparam("expires_at"),
            attempt=JOB.c.attempt + 1,
            start_at=bindparam("now"),
        )
        .returning(
            JOB.c.queue_rank,
            JOB.c.seq,
            JOB.c.batch_id,
            JOB.c.id,
            JOB.c.lease_token,
            JOB.c.attempt,
            JOB.c.created_at,
            JOB.c.runs,
            JOB.c.variables_json,
            JOB.c.program_hash,
        )
    )


def next_in_line(devices: int, some_alone: bool) -> Select[Any]:
    """Returns the query for the keys of the jobs next in line for so many devices.

    The first few of each device come out of the index in their order; merging these few is cheaper
    than sorting all that wait for any of the devices. What exclusive devices run next was found
    before and takes part under its own rank.
    """
    if devices == 1 and not some_alone:
        return _queue(0, JOB.c.seq)
    queues = [_queue(number, JOB.c.seq, JOB.c.queue_rank).subquery() for number in range(devices)]
    if some_alone:
        alone = JOB.c.seq.in_(bindparam("alone", expanding=True))
        queues.append(select(JOB.c.seq, JOB.c.queue_rank).where(alone).correlate(None).subquery())
    heads = union_all(*(select(queue.c.seq, queue.c.queue_rank) for queue in queues)).subquery()
    in_order = select(heads.c.seq).order_by(heads.c.queue_rank, heads.c.seq)
    return in_order.limit(bindparam("max_jobs"))


def _queue(number: int, *columns: Column[Any]) -> Select[Any]:
    return (
        select(*columns)
        .where(leasable(JOB), JOB.c.device_type == bindparam(_device(number)))
        .order_by(JOB.c.queue_rank, JOB.c.seq)
        .limit(bindparam("max_jobs"))
        .correlate(None)
    )


_LEASE_CLAIMED: Final = _lease_of(JOB.c.seq.in_(bindparam("numbers", expanding=True)))
_SHARED: Final = select(
    QUEUED_BATCH.c.id,
    QUEUED_BATCH.c.device_type,
    QUEUED_BATCH.c.program_hash,
    QUEUED_BATCH.c.backend_configuration,
    QUEUED_BATCH.c.configuration_json,
).where(QUEUED_BATCH.c.id.in_(bindparam("of_batches", expanding=True)))

_HELD: Final = (
    select(JOB.c.seq, JOB.c.lease_token, JOB.c.status, JOB.c.progress)
    .where(JOB.c.seq.in_(bindparam("numbers", expanding=True)), JOB.c.lease_token.is_not(None))
    .order_by(JOB.c.seq)  # all lock rows in one order
    .with_for_update()
)
_MINE: Final = (
    JOB.c.seq == bindparam("number"),
    JOB.c.lease_token == bindparam("held_token"),
    JOB.c.status == JobStatus.RUNNING.value,
)
_EXTEND: Final = update(JOB).where(*_MINE).values(lease_expires_at=bindparam("expires_at"))
_ADVANCE: Final = (
    update(JOB).where(*_MINE).values(progress=bindparam("percentage"), updated_at=bindparam("now"))
)
_EARLIEST_EXPIRY: Final = (
    select(JOB.c.lease_expires_at)
    .where(JOB.c.lease_expires_at.is_not(None))
    .order_by(JOB.c.lease_expires_at)
    .limit(1)
)
_POSTPONE: Final = (
    update(JOB)
    .where(JOB.c.lease_expires_at < bindparam("until"), JOB.c.status == JobStatus.RUNNING.value)
    .values(lease_expires_at=bindparam("until"))
)
