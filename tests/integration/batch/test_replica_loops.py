"""Two batch services on one database: each loop runs twice, and its work is done once."""

import asyncio
import uuid

import pytest

from tweezer.v1.batch_pb2 import NewJob
from tweezer.v1.batch_service_pb2 import AddJobsRequest, CancelBatchRequest, CloseBatchRequest
from tweezer.v1.operator_service_pb2 import PauseDeviceRequest, ResumeDeviceRequest

#: So short that both look all the time, and always at what the other is at.
ALL_THE_TIME = 0.02
NEVER = 3600.0

OTHER_PROJECT = "22222222-2222-4222-8222-222222222222"


@pytest.fixture(params=["postgresql"])
def backend(request):
    return request.param


@pytest.fixture
async def pair(place):
    busy = {"take_over_interval_s": ALL_THE_TIME}
    async with place.running(**busy) as one, place.running(**busy) as other:
        yield one, other


async def create(stubs, user, new_batch, **changes):
    request = new_batch(**changes)
    return (await stubs.batches.CreateBatch(request, metadata=user.metadata)).batch


async def test_job_service_hears_the_newest_of_each_batch(place, pair, user, new_batch):
    one, other = pair

    async def change(number):
        batch = await create(one, user, new_batch, open=True)
        add = AddJobsRequest(batch_id=batch.id, jobs=[NewJob(runs=5)])
        await other.batches.AddJobs(add, metadata=user.metadata)
        if number % 2:
            close = CloseBatchRequest(batch_id=batch.id)
            await one.batches.CloseBatch(close, metadata=user.metadata)
        else:
            cancel = CancelBatchRequest(batch_id=batch.id)
            await one.batches.CancelBatch(cancel, metadata=user.metadata)

    await asyncio.gather(*(change(number) for number in range(12)))
    await place.until_all_is_told()
    newest, released = {}, {}
    while not place.queue.intents.empty():
        intent = place.queue.intents.get_nowait()
        released.setdefault(intent.batch_id, set()).update(intent.released_addition_ids)
        # JobService passes over what is older than what it has.
        if intent.batch_id not in newest or intent.version > newest[intent.batch_id][0]:
            newest[intent.batch_id] = (intent.version, intent.open, intent.cancelled)
    rows = place.rows("SELECT id, intent_version, open, cancelled FROM batch")
    assert {row[0]: tuple(row[1:]) for row in rows} == newest
    additions = place.rows("SELECT batch_id, id FROM addition")
    assert {(b, a) for b, ids in released.items() for a in ids} == {tuple(r) for r in additions}


async def test_a_batch_that_is_left_alone_times_out_once(place, user, new_batch):
    soon = {"open_batch_idle_s": 0.3}
    async with place.running(**soon) as one, place.running(**soon):
        for _ in range(10):
            await create(one, user, new_batch, jobs=0, open=True)
        async with asyncio.timeout(60):  # nothing tells of it
            while place.rows("SELECT 1 FROM batch WHERE status <> 'TIMED_OUT'"):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await place.until_all_is_told()
    # One word for the beginning and one for the end.
    assert place.rows("SELECT DISTINCT intent_version FROM batch") == [(2,)]


async def test_a_call_that_comes_to_both_is_done_once(place, pair, user, new_batch):
    for number in range(1, 9):
        request = new_batch(request_id=str(uuid.uuid4()))
        answers = await asyncio.gather(
            *(each.batches.CreateBatch(request, metadata=user.metadata) for each in pair)
        )
        assert len({answer.batch.id for answer in answers}) == 1
        assert place.rows("SELECT count(*) FROM batch") == [(number,)]
        assert place.rows("SELECT batches, unfinished_jobs FROM project_load") == [(number, number)]


async def test_an_old_word_about_a_device_does_not_stay(place, pair):
    """What one of them says late, of a pause that is over, is soon followed by what is true."""
    one, other = pair
    boss = place.operator(OTHER_PROJECT)
    words = place.queue.pauses
    for pause, resume in ((one, other), (other, one)):
        request = PauseDeviceRequest(device_type="EMU_FREE")
        await pause.operators.PauseDevice(request, metadata=boss.metadata)
        await until_both_say(words, {"EMU_FREE"})
        request = ResumeDeviceRequest(device_type="EMU_FREE")
        await resume.operators.ResumeDevice(request, metadata=boss.metadata)
        await until_both_say(words, set())


async def until_both_say(words, wanted):
    """Waits until so many words in a row agree that both have said it."""
    in_a_row = 0
    async with asyncio.timeout(60):
        while in_a_row < 6:
            in_a_row = in_a_row + 1 if await words.get() == wanted else 0
