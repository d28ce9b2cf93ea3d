"""Calls that their caller has named: sent again, they answer as before and make nothing."""

import asyncio

import grpc
import pytest

from tweezer.v1.batch_pb2 import NewJob
from tweezer.v1.batch_service_pb2 import (
    AddJobsRequest,
    CancelBatchRequest,
    CloseBatchRequest,
    RepeatBatchRequest,
)
from tweezer.v1.job_pb2 import JobFilter

PROJECT = "11111111-1111-4111-8111-111111111111"
OTHER_PROJECT = "22222222-2222-4222-8222-222222222222"
MANY = 12


@pytest.fixture(autouse=True)
def queue(place):
    place.queue.lists_what_is_enqueued = True
    return place.queue


async def refusal(code, call):
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call
    assert failed.value.code() == code, failed.value.details()
    return failed.value.details()


def count(place, table):
    return place.rows(f"SELECT count(*) FROM {table}")[0][0]


async def add(stubs, user, batch_id, jobs, name):
    request = AddJobsRequest(batch_id=batch_id, jobs=jobs, request_id=name)
    return await stubs.batches.AddJobs(request, metadata=user.metadata)


async def test_a_batch_is_created_once(place, create, queue, sequences):
    jobs = [NewJob(runs=7), NewJob(sequence=sequences.unmeasured)]
    wanted = {"jobs": jobs, "request_id": "night 1", "tags": ["a"], "configuration_json": "{}"}
    first = await create(**wanted)
    again = await create(**wanted)
    assert again == first
    assert (count(place, "batch"), count(place, "addition"), len(queue.enqueued)) == (1, 1, 1)


async def test_the_answer_shows_the_batch_as_it_is_now(create, stubs, user):
    batch_id = (await create(jobs=2, open=True, request_id="x")).batch.id
    await add(stubs, user, batch_id, [NewJob()], "more")
    await stubs.batches.CancelBatch(CancelBatchRequest(batch_id=batch_id), metadata=user.metadata)
    again = await create(jobs=2, open=True, request_id="x")
    assert again.batch.id == batch_id
    assert (again.batch.jobs_count, again.batch.open) == (3, False)
    assert [job.creation_order for job in again.jobs] == [0, 1]


async def test_an_empty_batch_is_created_once(create):
    first = await create(jobs=0, open=True, request_id="x")
    assert await create(jobs=0, open=True, request_id="x") == first


async def test_a_restart_does_not_forget(place, new_batch, user):
    request = new_batch(request_id="x")
    async with place.running() as stubs:
        first = await stubs.batches.CreateBatch(request, metadata=user.metadata)
    async with place.running() as stubs:
        again = await stubs.batches.CreateBatch(request, metadata=user.metadata)
    assert again == first


async def test_another_request_of_the_same_name_is_refused(create, stubs, user):
    batch = (await create(open=True, request_id="x")).batch
    taken = "the request_id 'x' names another request"
    exists = grpc.StatusCode.ALREADY_EXISTS
    assert await refusal(exists, create(open=True, tags=["a"], request_id="x")) == taken
    assert await refusal(exists, add(stubs, user, batch.id, [NewJob(runs=10)], "x")) == taken
    repeat = RepeatBatchRequest(batch_id=batch.id, request_id="x")
    call = stubs.batches.RepeatBatch(repeat, metadata=user.metadata)
    assert await refusal(exists, call) == taken


async def test_names_are_a_users_own(place, create):
    first = await create(request_id="x")
    other = await create(by=place.user(), request_id="x")
    assert other.batch.id != first.batch.id


async def test_calls_without_a_name_are_done_each_time(place, create):
    await create()
    await create()
    assert (count(place, "batch"), count(place, "request")) == (2, 0)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "must have 1 to 255 characters"),
        ("x" * 256, "must have 1 to 255 characters"),
        ("a\0b", "must not contain the character U+0000"),
    ],
)
async def test_bad_names(place, create, name, reason):
    details = await refusal(grpc.StatusCode.INVALID_ARGUMENT, create(request_id=name))
    assert details == f"request_id: {reason}"
    assert count(place, "batch") == 0


async def test_a_name_of_255_characters_is_good(create):
    name = "é" * 255
    assert await create(request_id=name) == await create(request_id=name)


async def test_a_name_is_free_again_when_its_time_is_over(place, new_batch, user):
    request = new_batch(request_id="x")
    async with place.running(request_id_life_s=1e-6) as stubs:
        first = await stubs.batches.CreateBatch(request, metadata=user.metadata)
        second = await stubs.batches.CreateBatch(request, metadata=user.metadata)
    assert first.batch.id != second.batch.id
    assert place.rows("SELECT batch_id FROM request") == [(second.batch.id,)]


async def test_a_refused_call_does_not_take_the_name(create):
    await refusal(grpc.StatusCode.INVALID_ARGUMENT, create(jobs=0, request_id="x"))
    assert (await create(jobs=1, request_id="x")).batch.jobs_count == 1


async def test_a_call_that_was_cut_off_half_way_is_done_when_it_is_repeated(
    place, new_batch, user, queue
):
    request = new_batch(request_id="x")
    queue.may_answer.clear()
    async with place.running(stop_grace_s=0) as stubs:
        cut_off = stubs.batches.CreateBatch(request, metadata=user.metadata)
        await asyncio.wait_for(queue.entered.wait(), 60)
    with pytest.raises((grpc.aio.AioRpcError, asyncio.CancelledError)):
        await cut_off
    queue.may_answer.set()
    assert count(place, "batch") == 0
    async with place.running() as stubs:
        repeated = await stubs.batches.CreateBatch(request, metadata=user.metadata)
        assert await stubs.batches.CreateBatch(request, metadata=user.metadata) == repeated
    assert [row[0] for row in place.rows("SELECT id FROM batch")] == [repeated.batch.id]
    assert len(queue.enqueued) == 2


async def test_of_many_at_the_same_time_one_creates_the_batch(place, new_batch, user, queue):
    request = new_batch(jobs=3, request_id="x")
    # None gets on before all of them have found the name free and hold jobs.
    queue.may_answer = asyncio.Barrier(MANY)
    async with place.running() as one, place.running() as two:
        answers = await asyncio.gather(
            *(
                stubs.batches.CreateBatch(request, metadata=user.metadata)
                for stubs in (one, two)
                for _ in range(MANY // 2)
            )
        )
    assert len(queue.enqueued) == MANY
    ((batch_id,),) = place.rows("SELECT id FROM batch")
    assert {answer.batch.id for answer in answers} == {batch_id}
    assert all(answer.jobs == answers[0].jobs for answer in answers)
    assert place.rows("SELECT batches, unfinished_jobs FROM project_load") == [(1, 3)]
    assert count(place, "addition") == 1


async def test_of_many_different_ones_of_a_name_one_succeeds(place, new_batch, user, queue):
    queue.may_answer = asyncio.Barrier(MANY)
    async with place.running() as stubs:
        answers = await asyncio.gather(
            *(
                stubs.batches.CreateBatch(
                    new_batch(tags=[str(n)], request_id="x"), metadata=user.metadata
                )
                for n in range(MANY)
            ),
            return_exceptions=True,
        )
    refused = [a for a in answers if isinstance(a, grpc.aio.AioRpcError)]
    assert {error.code() for error in refused} == {grpc.StatusCode.ALREADY_EXISTS}
    assert (len(refused), count(place, "batch")) == (MANY - 1, 1)


async def test_jobs_are_added_once(place, create, stubs, user, queue):
    batch_id = (await create(open=True)).batch.id
    jobs = [NewJob(runs=3), NewJob(runs=4)]
    first = await add(stubs, user, batch_id, jobs, "x")
    await stubs.batches.CloseBatch(CloseBatchRequest(batch_id=batch_id), metadata=user.metadata)
    again = await add(stubs, user, batch_id, jobs, "x")  # although it is closed by now
    assert (again.jobs, again.batch.jobs_count, again.batch.open) == (first.jobs, 3, False)
    assert len(queue.enqueued) == 2


async def test_of_many_at_the_same_time_one_adds_the_jobs(place, create, stubs, user, queue):
    batch_id = (await create(open=True)).batch.id
    queue.may_answer = asyncio.Barrier(MANY)
    jobs = [NewJob(runs=3)] * 2
    answers = await asyncio.gather(*(add(stubs, user, batch_id, jobs, "x") for _ in range(MANY)))
    assert {answer.batch.jobs_count for answer in answers} == {3}
    assert len({tuple(job.id for job in answer.jobs) for answer in answers}) == 1
    assert place.rows("SELECT batches, unfinished_jobs FROM project_load") == [(1, 3)]


async def test_a_batch_is_repeated_once(place, create, stubs, user, queue):
    original = await create(jobs=3)
    request = RepeatBatchRequest(
        batch_id=original.batch.id,
        filter=JobFilter(ids=[original.jobs[0].id]),
        request_id="x",
    )
    first = await stubs.batches.RepeatBatch(request, metadata=user.metadata)
    again = await stubs.batches.RepeatBatch(request, metadata=user.metadata)
    assert again == first
    assert [job.parent_id for job in again.jobs] == [job.id for job in original.jobs]
    assert count(place, "batch") == 2


async def test_what_somebody_may_not_see_any_more_is_not_answered(place, create):
    both, name = place.user(PROJECT, OTHER_PROJECT), {"request_id": "x"}
    await create(by=both, **name)
    fewer = type(both)(both.user_id, place.tokens.issue(both.user_id, "s", [OTHER_PROJECT]))
    details = await refusal(grpc.StatusCode.NOT_FOUND, create(by=fewer, **name))
    assert details == f"project {PROJECT} not found"
