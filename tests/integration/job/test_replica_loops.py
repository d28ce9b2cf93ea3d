"""Two job services on one database: each loop runs twice, and its work is done once."""

import asyncio
import itertools
from collections.abc import AsyncIterator

import pytest

from tweezer.internal.v1 import queue_service_pb2 as queue_pb

#: So short that both look all the time, and always at what the other is at.
ALL_THE_TIME = 0.02

QPU = "FRESNEL"


@pytest.fixture(params=["postgresql"])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def pair(run_jobs) -> AsyncIterator[tuple]:
    busy = {"take_over_interval_s": ALL_THE_TIME}
    async with run_jobs(**busy) as one, run_jobs(**busy) as other:
        yield one, other


async def test_progress_is_reported_to_the_end(pair, batch_side) -> None:
    one, other = pair
    added = [await one.add(5) for _ in range(6)]

    async def work(process) -> None:
        while leased := await process.lease(3):
            for lease in leased:
                assert await process.finish(lease.token, result=b"{}")

    await asyncio.gather(*(work(process) for process in (one, other) * 3))
    await one.until_none("queued_batch WHERE acknowledged_version < progress_version")
    assert one.rows("SELECT pending, running, done FROM queued_batch") == [(0, 0, 5)] * len(added)
    assert batch_side.progress.keys() == {each.batch.id for each in added}


async def test_a_lease_that_runs_out_costs_one_attempt(pair) -> None:
    one, other = pair
    await one.add(40)
    lost = await other.lease(40, duration=0.3)
    assert len(lost) == 40
    again: list = []
    while len(again) < 40:
        again += await one.lease(40, wait=20)
    assert len({lease.job_id for lease in again}) == 40
    assert {lease.attempt for lease in again} == {2}
    for lease in lost:
        assert not await other.finish(lease.token, result=b"{}")
    assert one.rows("SELECT pending, running FROM queued_batch") == [(0, 40)]


async def test_what_was_never_committed_is_dropped_once(run_jobs, batch_side) -> None:
    async with run_jobs() as patient:
        kept = await patient.enqueue(2)
        await patient.intend(kept.batch.id, 1, [kept.addition_id], open=True)
    busy = {"take_over_interval_s": ALL_THE_TIME, "addition_grace_s": 0.2}
    async with run_jobs(**busy) as one, run_jobs(**busy) as other:
        for _ in range(5):
            await other.enqueue(3)
        late = [
            queue_pb.QueuedJob(id=f"00000000-0000-4000-8000-{order:012}", creation_order=order)
            for order in range(2, 6)
        ]
        await other.enqueue(late, batch_id=kept.batch.id)
        await one.until_none("queued_addition WHERE NOT released")
        assert one.rows("SELECT id, pending FROM queued_batch") == [(kept.batch.id, 2)]
        assert one.rows("SELECT count(*) FROM job") == [(2,)]
    assert {addition for asked in batch_side.asked for addition in asked}


async def test_an_exclusive_device_is_leased_at_one_of_them_at_a_time(pair) -> None:
    one, other = pair
    added = [await process.add(4, device_type=QPU, exclusive=True) for process in (one, other, one)]
    batch_of = {job.id: each.batch.id for each in added for job in each.jobs}
    held: list[str] = []
    done: list[str] = []

    async def work(process) -> None:
        while len(done) < len(batch_of):
            for lease in await process.lease(4, devices=[QPU], wait=0.2):
                assert held == [], "two at a time"
                held.append(lease.job_id)
                await process.renew(lease.token)
                done.append(lease.job_id)
                held.clear()  # before it can be known that the device is free
                assert await process.finish(lease.token, result=b"{}")

    await asyncio.gather(*(work(process) for process in (one, other) * 3))
    in_order = [job.id for each in added for job in each.jobs]
    assert done == in_order
    batches = [batch_of[job_id] for job_id in done]
    assert len(list(itertools.groupby(batches))) == len(added), "batches were mixed"
