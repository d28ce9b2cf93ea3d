"""Devices that run one job at a time and are kept for a batch until it is finished."""

import asyncio
import uuid

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from tweezer.internal.v1 import lease_service_pb2 as pb
from tweezer.job.store import leases
from tweezer.v1 import batch_pb2
from tweezer.v1 import job_service_pb2 as jobs_pb

QPU = "FRESNEL"


def take(tables, jobs: int = 10, *devices: str) -> list[str]:
    batches = tables(lambda c: leases.take(c, devices or [QPU], jobs, 9_000, 2_000))
    return [lease.job_id for batch in batches for lease in batch.leases]


async def add(process, jobs: int = 1, *, is_open: bool = False, **how):
    request = await process.enqueue(jobs, **{"device_type": QPU, "exclusive": True, **how})
    await process.intend(request.batch.id, 1, [request.addition_id], open=is_open)
    return request


async def lease(process, wait: float = 0) -> pb.JobLease | None:
    leased = await process.lease(10, devices=[QPU], wait=wait)
    assert len(leased) <= 1
    return leased[0] if leased else None


async def waiting(process) -> "asyncio.Task[pb.JobLease | None]":
    """Starts a call that waits, and returns once the service has looked."""
    task = asyncio.create_task(lease(process, wait=60))
    await asyncio.sleep(0)
    assert await lease(process) is None  # one writer serves all, in turn
    assert not task.done()
    return task


def test_one_job_at_a_time_is_leased_in_creation_order(tables) -> None:
    batch_id = str(uuid.uuid4())
    how = {"batch_id": batch_id, "device_type": QPU, "exclusive": True}
    later = tables.enqueue(tables.addition(1, first_order=1, **how))
    first = tables.enqueue(tables.addition(1, **how))
    tables.intend(batch_id, 1, later.id, first.id)
    assert take(tables) == [first.jobs[0].id]
    assert take(tables) == []


def test_each_exclusive_device_has_one_job_beside_those_of_others(tables) -> None:
    qpu = tables.add(3, device_type=QPU, exclusive=True, queue_rank=2)
    other = tables.add(3, device_type="FRESNEL_CAN1", exclusive=True, queue_rank=4)
    free = tables.add(2, queue_rank=3)
    ids = [job.id for job in free.jobs]
    everything = ("EMU_FREE", "FRESNEL_CAN1", QPU)
    assert take(tables, 1, *everything) == [qpu.jobs[0].id]
    assert take(tables, 10, *everything) == [*ids, other.jobs[0].id]
    assert take(tables, 10, *everything) == []


def test_the_database_lets_no_two_jobs_have_an_exclusive_device(tables) -> None:
    tables.add(2, device_type=QPU, exclusive=True)
    take(tables)
    nonsense = "status = 'RUNNING', start_at = 1, lease_token = 'x', lease_expires_at = 1"
    with pytest.raises(IntegrityError, match=r"job\.device_type|uq_job_exclusive_leased"):
        tables(lambda c: c.execute(text(f"UPDATE job SET {nonsense} WHERE status = 'PENDING'")))


async def test_the_device_is_kept_for_the_batch_that_has_started(process) -> None:
    first = await add(process, 2)
    running = await lease(process)
    urgent = await add(process, queue_priority=batch_pb2.QUEUE_PRIORITY_CRITICAL)
    order = []
    while running is not None:
        order.append(running.job_id)
        await process.finish(running.token, result=b"{}")
        running = await lease(process)
    assert order == [job.id for job in (*first.jobs, *urgent.jobs)]


async def test_an_open_batch_keeps_the_device_until_it_is_closed(process) -> None:
    mine, other = await add(process, is_open=True), await add(process)
    running = await lease(process)
    await process.finish(running.token, result=b"{}")
    task = await waiting(process)
    more = await process.enqueue(
        [{"id": str(uuid.uuid4()), "creation_order": 1}],
        batch_id=mine.batch.id,
        device_type=QPU,
        exclusive=True,
    )
    await process.intend(mine.batch.id, 2, [more.addition_id], open=True)
    running = await task
    assert running.job_id == more.jobs[0].id
    await process.finish(running.token, result=b"{}")
    task = await waiting(process)
    await process.intend(mine.batch.id, 3)
    assert (await task).job_id == other.jobs[0].id


async def test_a_cancelled_batch_leaves_the_device_when_its_worker_has_stopped(process) -> None:
    mine, other = await add(process, 3, is_open=True), await add(process)
    running = await lease(process)
    await process.intend(mine.batch.id, 2, cancelled=True)
    task = await waiting(process)
    await process.finish(running.token, stopped=pb.Stopped())
    assert (await task).job_id == other.jobs[0].id


async def test_a_batch_cancelled_between_two_jobs_leaves_the_device_at_once(process) -> None:
    mine, other = await add(process, is_open=True), await add(process)
    running = await lease(process)
    await process.finish(running.token, result=b"{}")
    task = await waiting(process)
    await process.intend(mine.batch.id, 2, cancelled=True, open=True)
    assert (await task).job_id == other.jobs[0].id


async def test_a_batch_whose_last_job_is_cancelled_leaves_the_device(process, member) -> None:
    mine, other = await add(process, 2), await add(process)
    running = await lease(process)
    await process.intend(mine.batch.id, 2, paused=True)
    await process.finish(running.token, result=b"{}")
    task = await waiting(process)
    request = jobs_pb.CancelJobRequest(job_id=mine.jobs[1].id)
    await process.jobs.CancelJob(request, metadata=member)
    assert (await task).job_id == other.jobs[0].id


async def test_jobs_that_were_never_committed_do_not_keep_the_device(process) -> None:
    mine, other = await add(process, is_open=True), await add(process)
    running = await lease(process)
    await process.enqueue(
        [{"id": str(uuid.uuid4()), "creation_order": 1}],
        batch_id=mine.batch.id,
        device_type=QPU,
        exclusive=True,
    )
    await process.finish(running.token, result=b"{}")
    caller = await waiting(process)
    await process.intend(mine.batch.id, 2)
    assert (await caller).job_id == other.jobs[0].id


async def test_a_job_that_is_given_back_is_next_again(process) -> None:
    await add(process, 2)
    first = await lease(process)
    await process.finish(first.token, released=pb.Released())
    again = await lease(process)
    assert (again.job_id, again.attempt) == (first.job_id, 1)


async def test_a_paused_batch_that_has_not_started_lets_others_pass(process) -> None:
    paused, other = await add(process), await add(process)
    await process.intend(paused.batch.id, 2, paused=True)
    assert (await lease(process)).job_id == other.jobs[0].id


async def test_callers_at_the_same_time_get_one_job_between_them(process) -> None:
    for _ in range(3):
        await add(process, 5)
    leased = [each for each in await asyncio.gather(*(lease(process) for _ in range(10))) if each]
    assert len(leased) == 1
