"""Two job services on one database: what happens at one wakes those who wait at the other.

Nothing looks again by itself here before the tests are over.
"""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tweezer.v1 import job_service_pb2 as jobs_pb
from tweezer.v1.job_pb2 import JOB_STATUS_CANCELED

#: Longer than any test: who gets an answer before was woken.
LONG = 55.0
NEVER = 3600.0

ROUNDS = 5


@pytest.fixture(params=["postgresql"])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def pair(run_jobs, job_database, postgres_server) -> AsyncIterator[tuple]:
    async with (
        run_jobs(take_over_interval_s=NEVER, cancel_wait_s=LONG) as one,
        run_jobs(take_over_interval_s=NEVER, cancel_wait_s=LONG) as other,
    ):
        await postgres_server.until_listening(job_database, 2)
        yield one, other


async def test_jobs_that_come_at_one_are_leased_at_the_other(pair) -> None:
    one, other = pair
    for _ in range(ROUNDS):
        leasing = asyncio.create_task(other.lease(wait=LONG))
        added = await one.add(1)
        (lease,) = await leasing
        assert lease.job_id == added.jobs[0].id


async def test_a_device_that_goes_on_is_told(pair) -> None:
    one, other = pair
    await one.add(1)
    await one.pause_devices(EMU_FREE=True)
    leasing = asyncio.create_task(other.lease(wait=LONG))
    await one.add(1, device_type="OTHER")
    await one.pause_devices(EMU_FREE=False)
    assert len(await leasing) == 1


async def test_a_job_that_is_given_back_at_one_is_leased_at_the_other(pair) -> None:
    one, other = pair
    await one.add(1)
    (lease,) = await one.lease()
    leasing = asyncio.create_task(other.lease(wait=LONG))
    assert await one.finish(lease.token, released={})
    (again,) = await leasing
    assert again.job_id == lease.job_id


async def test_a_cancelled_batch_stops_the_work_that_is_renewed_at_the_other(pair) -> None:
    one, other = pair
    for _ in range(ROUNDS):
        added = await one.add(1)
        (lease,) = await other.lease()
        renewal = asyncio.create_task(other.renew(lease.token, wait=LONG))
        await one.intend(added.batch.id, 2, [added.addition_id], cancelled=True)
        assert await renewal == [lease.token]
        assert await other.finish(lease.token, stopped={})


def cancel(process, job_id: str, member):
    request = jobs_pb.CancelJobRequest(job_id=job_id)
    return process.jobs.CancelJob(request, metadata=member, timeout=LONG - 5)


async def test_who_cancels_at_one_hears_that_the_work_ended_at_the_other(pair, member) -> None:
    one, other = pair
    for _ in range(ROUNDS):
        added = await one.add(1)
        (lease,) = await other.lease()
        renewal = asyncio.create_task(other.renew(lease.token, wait=LONG))
        cancelling = cancel(one, added.jobs[0].id, member)
        assert await renewal == [lease.token]
        assert await other.finish(lease.token, stopped={})
        assert (await cancelling).job.status == JOB_STATUS_CANCELED


async def test_a_job_is_cancelled_at_one_when_it_is_released_at_the_other(pair, member) -> None:
    one, other = pair
    held = await other.enqueue(1)
    cancelling = cancel(one, held.jobs[0].id, member)
    await other.renew()  # a call that takes its time
    await other.intend(held.batch.id, 1, [held.addition_id])
    assert (await cancelling).job.status == JOB_STATUS_CANCELED


async def test_who_did_not_hear_for_a_while_looks_again(
    pair, job_database, postgres_server
) -> None:
    one, other = pair
    leasing = asyncio.create_task(other.lease(wait=LONG))
    for _ in range(ROUNDS):
        # Both connections are gone: what is told until they are back is heard by nobody.
        assert postgres_server.cut_listeners(job_database) == 2
        await one.add(1)
        assert len(await leasing) == 1
        await postgres_server.until_listening(job_database, 2)
        leasing = asyncio.create_task(other.lease(wait=LONG))
    leasing.cancel()


async def test_work_that_a_dead_replica_left_is_taken_over(
    run_jobs, batch_server, batch_side, tables
) -> None:
    async with run_jobs(take_over_interval_s=0.05):
        # As of a process that died after it had committed this, and before it told anybody.
        addition = tables.add(1)
        tables.intend(addition.batch.id, 2, addition.id, cancelled=True)
        async with asyncio.timeout(LONG):
            await batch_side.until(lambda side: addition.batch.id in side.progress)
    assert batch_side.progress[addition.batch.id].job_counts.canceled == 1
