"""Watching a batch: every change at once, until it is final."""

from contextlib import AsyncExitStack

import grpc
import pytest

from tweezer.internal.v1.progress_service_pb2 import BatchProgress, ReportProgressRequest
from tweezer.v1.batch_pb2 import BatchStatus, JobCounts
from tweezer.v1.batch_service_pb2 import WatchBatchRequest

#: Longer than any test: what comes earlier came by word, not by reading again.
NEVER = 3600.0


@pytest.fixture
async def stubs(place):
    async with place.running(watch_reread_s=NEVER) as stubs:
        yield stubs


@pytest.fixture
def report(stubs):
    async def call(batch_id, version, **counts):
        progress = BatchProgress(batch_id=batch_id, version=version, job_counts=JobCounts(**counts))
        await stubs.progress.ReportProgress(ReportProgressRequest(reports=[progress]))

    return call


def watch(stubs, batch_id, user):
    return stubs.batches.WatchBatch(WatchBatchRequest(batch_id=batch_id), metadata=user.metadata)


async def test_the_state_comes_at_once_and_at_each_change(stubs, user, create, report):
    batch = (await create(jobs=2)).batch
    call = watch(stubs, batch.id, user)
    state = await call.read()
    assert state.status == BatchStatus.BATCH_STATUS_PENDING
    assert state.job_counts == JobCounts(pending=2)
    await report(batch.id, 1, running=2)
    state = await call.read()
    assert state.status == BatchStatus.BATCH_STATUS_RUNNING
    assert state.job_counts == JobCounts(running=2)
    await report(batch.id, 1, done=2)  # not newer: nobody is told
    await report(batch.id, 2, done=1, running=1)
    assert (await call.read()).job_counts == JobCounts(done=1, running=1)
    await report(batch.id, 3, done=2)
    assert (await call.read()).status == BatchStatus.BATCH_STATUS_DONE
    assert await call.read() is grpc.aio.EOF


async def test_all_who_watch_are_told(stubs, user, create, report):
    batch = (await create()).batch
    calls = [watch(stubs, batch.id, user) for _ in range(5)]
    for call in calls:
        await call.read()
    await report(batch.id, 1, done=1)
    for call in calls:
        assert (await call.read()).status == BatchStatus.BATCH_STATUS_DONE
        assert await call.read() is grpc.aio.EOF


async def test_a_final_batch_is_told_once(stubs, user, create, report):
    batch = (await create()).batch
    await report(batch.id, 1, error=1)
    states = [state async for state in watch(stubs, batch.id, user)]
    assert [state.status for state in states] == [BatchStatus.BATCH_STATUS_ERROR]


async def test_what_another_process_changed_is_found_by_reading(place, user, new_batch):
    async with place.running() as first, place.running(watch_reread_s=0.05) as second:
        created = await first.batches.CreateBatch(new_batch(), metadata=user.metadata)
        call = watch(second, created.batch.id, user)
        await call.read()
        progress = BatchProgress(
            batch_id=created.batch.id, version=1, job_counts=JobCounts(running=1)
        )
        await first.progress.ReportProgress(ReportProgressRequest(reports=[progress]))
        assert (await call.read()).status == BatchStatus.BATCH_STATUS_RUNNING


async def test_the_end_of_the_service_ends_the_watching(place, user, new_batch):
    """Within the grace time, which a stream that nobody ends would use up."""
    async with AsyncExitStack() as client:
        async with place.serving(watch_reread_s=NEVER, stop_grace_s=NEVER) as port:
            stubs = await client.enter_async_context(place.connected(port))
            created = await stubs.batches.CreateBatch(new_batch(), metadata=user.metadata)
            call = watch(stubs, created.batch.id, user)
            await call.read()
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await call.read()
    assert failed.value.code() == grpc.StatusCode.UNAVAILABLE
    assert failed.value.details() == "the service is stopping: watch again in a moment"


@pytest.mark.parametrize("batch_id", ["6f9619ff-8b86-4d01-b42d-00cf4fc964ff", "no-uuid"])
async def test_an_unknown_batch(stubs, user, batch_id):
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await watch(stubs, batch_id, user).read()
    assert failed.value.code() == grpc.StatusCode.NOT_FOUND
    assert failed.value.details() == f"batch {batch_id} not found"


async def test_the_batch_of_somebody_else(stubs, place, create):
    batch = (await create()).batch
    stranger = place.user("22222222-2222-4222-8222-222222222222")
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await watch(stubs, batch.id, stranger).read()
    assert failed.value.code() == grpc.StatusCode.NOT_FOUND
    assert failed.value.details() == f"batch {batch.id} not found"
