"""Cancelling batches: one, several, all, and what cannot be cancelled."""

import asyncio

import grpc
import pytest

from tweezer.internal.v1.progress_service_pb2 import BatchProgress, ReportProgressRequest
from tweezer.v1.batch_pb2 import BatchFilter, BatchStatus, JobCounts
from tweezer.v1.batch_service_pb2 import (
    CancelBatchesRequest,
    CancelBatchRequest,
    GetBatchRequest,
)

OTHER_PROJECT = "22222222-2222-4222-8222-222222222222"
NOBODY = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff"


def stopped(**counts):
    """Answers an intent that cancels with counts, as JobService does."""

    def progress(intent):
        if not intent.cancelled:
            return None
        return BatchProgress(
            batch_id=intent.batch_id, version=intent.version, job_counts=JobCounts(**counts)
        )

    return progress


@pytest.fixture
def cancel(stubs, user):
    async def call(batch_id):
        request = CancelBatchRequest(batch_id=batch_id)
        return (await stubs.batches.CancelBatch(request, metadata=user.metadata)).batch

    return call


@pytest.fixture
def cancel_many(stubs, user):
    async def call(by=user, **wanted):
        request = CancelBatchesRequest(**wanted)
        return await stubs.batches.CancelBatches(request, metadata=by.metadata)

    return call


@pytest.fixture
def report(stubs):
    async def call(batch_id, version, **counts):
        progress = BatchProgress(batch_id=batch_id, version=version, job_counts=JobCounts(**counts))
        await stubs.progress.ReportProgress(ReportProgressRequest(reports=[progress]))

    return call


@pytest.fixture
def read(stubs, user):
    async def call(batch_id):
        request = GetBatchRequest(batch_id=batch_id)
        return (await stubs.batches.GetBatch(request, metadata=user.metadata)).batch

    return call


async def refusal(code, call):
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call
    assert failed.value.code() == code, failed.value.details()
    return failed.value.details()


async def test_a_waiting_batch_is_canceled_in_the_answer(place, create, cancel, read):
    place.queue.progress_of = stopped(canceled=2)
    batch_id = (await create(jobs=2, open=True)).batch.id
    batch = await cancel(batch_id)
    assert batch.status == BatchStatus.BATCH_STATUS_CANCELED
    assert (batch.open, batch.job_counts.canceled) == (False, 2)
    assert batch.HasField("end_time")
    assert batch == await read(batch_id)
    intent = await place.queue.next_intent()
    while not intent.cancelled:
        intent = await place.queue.next_intent()
    assert (intent.batch_id, intent.open) == (batch_id, False)


async def test_a_running_one_is_canceling_until_its_work_has_stopped(
    place, create, cancel, report, read
):
    place.queue.progress_of = stopped(canceling=1, canceled=1)
    batch_id = (await create(jobs=2)).batch.id
    await report(batch_id, 1, running=1, pending=1)
    assert (await cancel(batch_id)).status == BatchStatus.BATCH_STATUS_CANCELING
    assert (await cancel(batch_id)).status == BatchStatus.BATCH_STATUS_CANCELING  # no error
    await report(batch_id, 9, canceled=2)
    assert (await read(batch_id)).status == BatchStatus.BATCH_STATUS_CANCELED


async def test_a_final_one_cannot_be_cancelled(create, cancel, report):
    batch_id = (await create(jobs=1)).batch.id
    await report(batch_id, 1, done=1)
    details = await refusal(grpc.StatusCode.FAILED_PRECONDITION, cancel(batch_id))
    assert details == f"batch {batch_id} is DONE and can no longer be cancelled"


async def test_the_loop_cancels_when_job_service_is_away(place, new_batch, user):
    place.queue.refuse_intents = lambda _: grpc.StatusCode.UNAVAILABLE
    async with place.running(batch_cancel_wait_s=0.05) as stubs:
        created = await stubs.batches.CreateBatch(new_batch(), metadata=user.metadata)
        batch_id = created.batch.id
        cancelled = await stubs.batches.CancelBatch(
            CancelBatchRequest(batch_id=batch_id), metadata=user.metadata
        )
        assert cancelled.batch.status == BatchStatus.BATCH_STATUS_CANCELING
        place.queue.refuse_intents = lambda _: None
        intent = await place.queue.next_intent()
        while not intent.cancelled:  # what was under way already
            intent = await place.queue.next_intent()
        assert intent.batch_id == batch_id


async def test_several_by_identifier(place, create, cancel_many, report):
    place.queue.progress_of = stopped(canceled=1)
    waiting = [(await create()).batch.id for _ in range(2)]
    final = (await create()).batch.id
    await report(final, 1, done=1)
    foreign = (await create(by=place.user(OTHER_PROJECT), project_id=OTHER_PROJECT)).batch.id
    response = await cancel_many(batch_ids=[*waiting, final, foreign, NOBODY, "no uuid"])
    assert [batch.id for batch in response.batches] == waiting
    assert {b.status for b in response.batches} == {BatchStatus.BATCH_STATUS_CANCELED}
    assert dict(response.errors) == {
        final: f"batch {final} is DONE and can no longer be cancelled",
        foreign: f"batch {foreign} not found",
        NOBODY: f"batch {NOBODY} not found",
        "no uuid": "batch no uuid not found",
    }


async def test_sequences_are_shown_as_far_as_there_is_room(place, create, cancel_many, monkeypatch):
    place.queue.progress_of = stopped(canceled=1)
    ids = [(await create()).batch.id for _ in range(2)]
    (sequence,) = {batch.sequence for batch in (await cancel_many(batch_ids=ids)).batches}
    assert sequence
    ids = [(await create()).batch.id for _ in range(3)]
    monkeypatch.setattr("tweezer.batch.servicer._MOST_SEQUENCE_CHARACTERS", 2 * len(sequence) + 1)
    response = await cancel_many(batch_ids=ids)
    assert [batch.sequence for batch in response.batches] == [sequence, sequence, ""]


async def test_several_by_criteria(place, create, cancel_many, report):
    place.queue.progress_of = stopped(canceled=1)
    night = (await create(tags=["night", "a"])).batch.id
    day = (await create(tags=["day"])).batch.id
    running = (await create(jobs=2, tags=["night"])).batch.id
    await report(running, 1, running=2)
    wanted = BatchFilter(statuses=[BatchStatus.BATCH_STATUS_PENDING])
    response = await cancel_many(tags=["night", "noon"], filter=wanted)
    assert [batch.id for batch in response.batches] == [night]
    assert dict(response.errors) == {}
    response = await cancel_many(filter=BatchFilter(min_jobs=1))
    assert {batch.id for batch in response.batches} == {day, running}
    assert list((await cancel_many(filter=BatchFilter(min_jobs=1))).batches) == []


async def test_all_of_ones_own(place, create, cancel_many, report):
    place.queue.progress_of = stopped(canceled=1)
    mine = [(await create(open=bool(i))).batch.id for i in range(2)]
    final = (await create()).batch.id
    await report(final, 1, done=1)
    stranger = place.user(OTHER_PROJECT)
    theirs = (await create(by=stranger, project_id=OTHER_PROJECT)).batch.id
    response = await cancel_many(cancel_all=True)
    assert [batch.id for batch in response.batches] == mine
    response = await cancel_many(by=stranger, cancel_all=True)
    assert [batch.id for batch in response.batches] == [theirs]


WRONG = {
    "nothing": ({}, "batch_ids: is needed unless there are criteria or cancel_all is true"),
    "empty filter": (
        {"filter": BatchFilter()},
        "batch_ids: is needed unless there are criteria or cancel_all is true",
    ),
    "too many": (
        {"batch_ids": [NOBODY] * 1001},
        "batch_ids: there are 1001, and the limit is 1000 a call",
    ),
    "all and ids": (
        {"cancel_all": True, "batch_ids": [NOBODY]},
        "cancel_all: cannot be combined with anything else",
    ),
    "all and tags": (
        {"cancel_all": True, "tags": ["a"]},
        "cancel_all: cannot be combined with anything else",
    ),
    "ids and criteria": (
        {"batch_ids": [NOBODY], "tags": ["a"]},
        "batch_ids: cannot be combined with criteria",
    ),
    "a final status": (
        {"filter": BatchFilter(statuses=[BatchStatus.BATCH_STATUS_DONE])},
        "status: must be PENDING or RUNNING",
    ),
}


@pytest.mark.parametrize(("wanted", "message"), WRONG.values(), ids=WRONG.keys())
async def test_requests_that_say_too_little_or_too_much(create, cancel_many, wanted, message, read):
    batch_id = (await create()).batch.id
    assert await refusal(grpc.StatusCode.INVALID_ARGUMENT, cancel_many(**wanted)) == message
    assert (await read(batch_id)).status == BatchStatus.BATCH_STATUS_PENDING


async def test_too_many_that_match_are_refused(place, create, cancel_many, monkeypatch):
    monkeypatch.setattr("tweezer.batch.cancel_selection.MAX_CANCELLED", 2)
    await asyncio.gather(*(create() for _ in range(3)))
    details = await refusal(grpc.StatusCode.INVALID_ARGUMENT, cancel_many(cancel_all=True))
    assert details.startswith("batch_ids: more than 2 batches match")
