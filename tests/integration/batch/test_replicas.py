"""Two batch services on one database: what happens at one is told at once to who watches another.

Nothing is read again by itself here before the tests are over.
"""

import asyncio

import pytest

from tweezer.internal.v1.progress_service_pb2 import BatchProgress, ReportProgressRequest
from tweezer.v1.batch_pb2 import BatchStatus, JobCounts
from tweezer.v1.batch_service_pb2 import CancelBatchRequest, WatchBatchRequest

#: Longer than any test.
NEVER = 3600.0


@pytest.fixture(params=["postgresql"])
def backend(request):
    return request.param


@pytest.fixture
async def pair(place, postgres_server):
    quiet = {"watch_reread_s": NEVER, "take_over_interval_s": NEVER}
    async with place.running(**quiet) as one, place.running(**quiet) as other:
        await postgres_server.until_listening(place.settings.batch_database, 2)
        yield one, other


@pytest.fixture
def create_at(user, new_batch):
    async def create(stubs, **changes):
        return (await stubs.batches.CreateBatch(new_batch(**changes), metadata=user.metadata)).batch

    return create


def watch(stubs, batch, user):
    request = WatchBatchRequest(batch_id=batch.id)
    return stubs.batches.WatchBatch(request, metadata=user.metadata, timeout=60)


def report(stubs, batch, version, **counts):
    progress = BatchProgress(batch_id=batch.id, version=version, job_counts=JobCounts(**counts))
    return stubs.progress.ReportProgress(ReportProgressRequest(reports=[progress]))


async def test_progress_reported_to_one_is_seen_by_who_watches_the_other(pair, user, create_at):
    one, other = pair
    batch = await create_at(one, jobs=5)
    call = watch(other, batch, user)
    await call.read()
    for version in range(1, 6):
        await report(one, batch, version, done=version)
        assert (await call.read()).job_counts == JobCounts(done=version, pending=5 - version)


async def test_a_change_of_mind_at_one_is_seen_by_who_watches_the_other(pair, user, create_at):
    one, other = pair
    batch = await create_at(one, open=True)
    call = watch(other, batch, user)
    await call.read()
    request = CancelBatchRequest(batch_id=batch.id)
    await one.batches.CancelBatch(request, metadata=user.metadata)
    assert (await call.read()).status == BatchStatus.BATCH_STATUS_CANCELING


async def test_who_did_not_hear_for_a_while_reads_again(
    pair, place, postgres_server, user, create_at
):
    one, other = pair
    batch = await create_at(one, jobs=2)
    call = watch(other, batch, user)
    await call.read()
    assert postgres_server.cut_listeners(place.settings.batch_database) == 2
    await report(one, batch, 1, running=1)
    assert (await call.read()).status == BatchStatus.BATCH_STATUS_RUNNING


async def test_intents_that_a_dead_replica_left_are_taken_over(place, user, new_batch):
    async with place.running(take_over_interval_s=0.05, batch_recovery_interval_s=NEVER) as stubs:
        created = await stubs.batches.CreateBatch(new_batch(), metadata=user.metadata)
        await place.until_all_is_told()
        place.queue.forget_calls()
        # As of a process that died after it had committed this, and before it told anybody.
        place.change("UPDATE batch SET intent_version = intent_version + 1")
        call = await asyncio.wait_for(place.queue.next_call_of_intents(), 60)
    assert [intent.batch_id for intent in call.intents] == [created.batch.id]
