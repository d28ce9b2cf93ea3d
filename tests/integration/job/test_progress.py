"""Progress flows up: the newest of each batch, until it is acknowledged, also after a restart."""

import asyncio

from tweezer.database.timestamps import to_timestamp
from tweezer.internal.v1 import progress_service_pb2 as pb
from tweezer.internal.v1.progress_service_pb2_grpc import ProgressServiceStub
from tweezer.job import progress_loop
from tweezer.job.progress_loop import ProgressLoop
from tweezer.job.store import leases, progress
from tweezer.rpc.channel import open_service_channel
from tweezer.v1 import batch_pb2


def unacknowledged(process) -> list[tuple[str]]:
    return process.rows("SELECT id FROM queued_batch WHERE progress_version > acknowledged_version")


async def test_each_step_is_reported(process, batch_side) -> None:
    added = await process.add(3)
    first, second = await process.lease(2)

    async def reported(**counts: int) -> pb.BatchProgress:
        wanted = batch_pb2.JobCounts(**counts)
        await batch_side.until(lambda s: s.progress[added.batch.id].job_counts == wanted)
        return batch_side.progress[added.batch.id]

    await batch_side.until(lambda s: added.batch.id in s.progress)
    running = await reported(pending=1, running=2)
    assert running.start_time == first_start(process)
    assert not running.HasField("end_time")
    await process.finish(first.token, result=b"{}")
    done = await reported(pending=1, running=1, done=1)
    assert done.version > running.version
    assert done.end_time.ToMicroseconds() >= done.start_time.ToMicroseconds()
    await process.finish(second.token, failure="It cannot be done.")
    await reported(pending=1, done=1, error=1)
    await process.intend(added.batch.id, 2, cancelled=True)
    last = await reported(done=1, error=1, canceled=1)
    assert last.start_time == running.start_time
    assert last.end_time.ToMicroseconds() > done.end_time.ToMicroseconds()


def first_start(process):
    return to_timestamp(process.rows("SELECT min(start_at) FROM job")[0][0])


async def test_a_batch_is_not_reported_before_it_was_released(process, batch_side) -> None:
    held = await process.enqueue(2)
    other = await process.add(1)
    await process.lease(1)
    await batch_side.until(lambda s: other.batch.id in s.progress)
    assert held.batch.id not in batch_side.progress


async def test_a_failed_report_is_tried_again(process, batch_side) -> None:
    batch_side.failures_left = 2
    added = await process.add(1)
    await process.lease(1)
    await batch_side.until(lambda s: added.batch.id in s.progress)
    assert batch_side.reports == 3


async def test_what_was_not_acknowledged_is_reported_after_a_restart(run_jobs, batch_side) -> None:
    batch_side.failures_left = 1_000
    async with run_jobs() as process:
        added = await process.add(2)
        (lease, _) = await process.lease(2)
        await process.finish(lease.token, result=b"{}")
        await batch_side.until(lambda s: s.reports > 0)
    assert added.batch.id not in batch_side.progress
    batch_side.failures_left = 0
    async with run_jobs():
        await batch_side.until(lambda s: added.batch.id in s.progress)
    assert batch_side.progress[added.batch.id].job_counts == batch_pb2.JobCounts(running=1, done=1)


async def test_what_was_acknowledged_is_not_reported_again(run_jobs, batch_side) -> None:
    async with run_jobs() as process:
        old = await process.add(1)
        await process.lease(1)
        await batch_side.until(lambda s: old.batch.id in s.progress)
        new = await process.add(1)
        await process.lease(1)
        await batch_side.until(lambda s: new.batch.id in s.progress)
    batch_side.progress.clear()
    async with run_jobs() as process:
        third = await process.add(1)
        await process.lease(1)
        await batch_side.until(lambda s: third.batch.id in s.progress)
    assert old.batch.id not in batch_side.progress


async def test_changes_in_between_are_merged(tables, database, batch_server, run_jobs) -> None:
    """However many changes there were, one report carries the newest."""
    addition = tables.add(50)
    for _ in range(50):
        tables(lambda c: leases.take(c, ["EMU_FREE"], 1, 10**16, 2_000))
    async with run_jobs():
        await batch_server.side.until(lambda s: s.progress)
    report = batch_server.side.progress[addition.batch.id]
    assert batch_server.side.reports == 1
    assert report.version == 50
    assert report.job_counts.running == 50


async def test_changes_may_wait_for_each_other_but_not_the_end_of_a_batch(
    run_jobs, batch_side
) -> None:
    async with run_jobs(progress_interval_s=3600) as process:
        short, long = await process.add(2), await process.add(3)
        leases = {lease.job_id: lease.token for lease in await process.lease(4)}
        await process.finish(leases[long.jobs[0].id], result=b"{}")
        for job in short.jobs:
            await process.finish(leases[job.id], result=b"{}")
        done, half = batch_pb2.JobCounts(done=2), batch_pb2.JobCounts(pending=1, running=1, done=1)
        await batch_side.until(lambda s: s.progress[short.batch.id].job_counts == done)
        assert batch_side.progress[long.batch.id].job_counts == half
        before = batch_side.reports
        await process.intend(long.batch.id, 2, cancelled=True)
        await process.finish(leases[long.jobs[1].id], failure="x")
        await batch_side.until(lambda s: s.progress[long.batch.id].job_counts != half)
        assert not batch_side.progress[long.batch.id].job_counts.running
        assert batch_side.reports == before + 1


async def test_many_batches_are_reported_in_parts(
    tables, database, batch_server, process, monkeypatch
) -> None:
    monkeypatch.setattr(progress_loop, "_CHUNK", 3)
    batches = {tables.add(1).batch.id for _ in range(10)}
    tables(lambda c: leases.take(c, ["EMU_FREE"], 10, 10**15, 2_000))
    before = batch_server.side.reports
    async with open_service_channel(process.settings, batch_server.address) as channel:
        stub = ProgressServiceStub(channel)
        await ProgressLoop(database, stub, asyncio.Event(), 0).report()
    assert batches <= batch_server.side.progress.keys()
    assert batch_server.side.reports - before == 4
    assert unacknowledged(process) == []


async def test_a_batch_that_is_not_known_is_not_reported_for_ever(
    tables, database, batch_server, process
) -> None:
    addition = tables.add(1)
    tables(lambda c: leases.take(c, ["EMU_FREE"], 1, 10**15, 2_000))
    batch_server.side.unknown_batches.add(addition.batch.id)
    async with open_service_channel(process.settings, batch_server.address) as channel:
        stub = ProgressServiceStub(channel)
        await ProgressLoop(database, stub, asyncio.Event(), 0).report()
    assert unacknowledged(process) == []
    assert tables.rows("SELECT status FROM job") == [{"status": "RUNNING"}]


async def test_a_report_says_whether_any_batch_is_about_to_end(
    tables, database, batch_server, process
) -> None:
    async with open_service_channel(process.settings, batch_server.address) as channel:
        loop = ProgressLoop(database, ProgressServiceStub(channel), asyncio.Event(), 0)
        assert not await loop.report()  # there is nothing to report
        tables.add(3)
        tables(lambda c: leases.take(c, ["EMU_FREE"], 1, 10**15, 2_000))
        assert await loop.report()  # two jobs still wait
        tables.add(1)
        tables(lambda c: leases.take(c, ["EMU_FREE"], 3, 10**15, 2_000))
        assert not await loop.report()  # all jobs of both batches have begun


def test_what_changes_after_the_report_is_left_for_the_next(tables) -> None:
    tables.add(2)
    tables(lambda c: leases.take(c, ["EMU_FREE"], 1, 10**15, 2_000))
    (news,) = tables(lambda c: progress.unreported(c, 0, 10))
    tables(lambda c: leases.take(c, ["EMU_FREE"], 1, 10**15, 2_000))
    tables(lambda c: progress.acknowledge(c, {news.batch_id: news.version}))
    (again,) = tables(lambda c: progress.unreported(c, 0, 10))
    assert again.version == news.version + 1
    tables(lambda c: progress.acknowledge(c, {news.batch_id: again.version}))
    tables(lambda c: progress.acknowledge(c, {news.batch_id: news.version}))
    assert tables(lambda c: progress.unreported(c, 0, 10)) == []
