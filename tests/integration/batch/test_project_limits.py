"""How much a project may have, and that the counts it is measured by are right."""

import asyncio
import random

import grpc
import pytest

from tweezer.internal.v1.progress_service_pb2 import BatchProgress, ReportProgressRequest
from tweezer.v1.batch_pb2 import JobCounts, NewJob
from tweezer.v1.batch_service_pb2 import (
    AddJobsRequest,
    CancelBatchRequest,
    CloseBatchRequest,
    RepeatBatchRequest,
)

PROJECT = "11111111-1111-4111-8111-111111111111"
OTHER_PROJECT = "22222222-2222-4222-8222-222222222222"
TOO_MUCH = grpc.StatusCode.RESOURCE_EXHAUSTED

RECOUNT = """
    SELECT project_id, count(*), sum(jobs_count - done - error - canceled)
    FROM batch GROUP BY project_id ORDER BY project_id
"""
COUNTED = "SELECT project_id, batches, unfinished_jobs FROM project_load ORDER BY project_id"


async def refusal(call):
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call
    assert failed.value.code() == TOO_MUCH, failed.value.details()
    return failed.value.details()


async def report(stubs, batch_id, version, **counts):
    progress = BatchProgress(batch_id=batch_id, version=version, job_counts=JobCounts(**counts))
    await stubs.progress.ReportProgress(ReportProgressRequest(reports=[progress]))


async def test_unfinished_jobs_are_limited(place, new_batch, user):
    async with place.running(max_unfinished_jobs_per_project=3) as stubs:

        async def create(jobs, by=user, **changes):
            request = new_batch(jobs=jobs, **changes)
            return (await stubs.batches.CreateBatch(request, metadata=by.metadata)).batch

        first = await create(2)
        assert await refusal(create(2)) == (
            f"project {PROJECT} would have 4 unfinished jobs, and the limit is 3:"
            " try again when some have ended"
        )
        assert len(place.queue.enqueued) == 1  # what is refused is not held either
        other = place.user(OTHER_PROJECT)
        await create(3, by=other, project_id=OTHER_PROJECT)
        opened = await create(1, open=True)
        add = AddJobsRequest(batch_id=opened.id, jobs=[NewJob()])
        await refusal(stubs.batches.AddJobs(add, metadata=user.metadata))
        place.queue.lists_what_is_enqueued = True
        repeat = RepeatBatchRequest(batch_id=first.id)
        await refusal(stubs.batches.RepeatBatch(repeat, metadata=user.metadata))
        await report(stubs, first.id, 1, done=1, error=1)
        await stubs.batches.AddJobs(add, metadata=user.metadata)
        await stubs.batches.AddJobs(add, metadata=user.metadata)
        await refusal(create(1))
    assert place.rows(COUNTED) == place.rows(RECOUNT)


async def test_stored_batches_are_limited(place, new_batch, user):
    async with place.running(max_batches_per_project=2) as stubs:

        async def create():
            return await stubs.batches.CreateBatch(new_batch(), metadata=user.metadata)

        first = (await create()).batch
        await create()
        await report(stubs, first.id, 1, done=1)
        assert await refusal(create()) == (
            f"project {PROJECT} has 2 batches, which is the limit:"
            " an operator can delete finished ones"
        )


async def test_of_many_at_the_same_time_as_many_succeed_as_there_is_room_for(
    place, new_batch, user
):
    place.queue.may_answer = asyncio.Barrier(10)  # all have passed the first look by then
    async with place.running(max_unfinished_jobs_per_project=5) as stubs:
        calls = [
            stubs.batches.CreateBatch(new_batch(jobs=2), metadata=user.metadata) for _ in range(10)
        ]
        answers = await asyncio.gather(*calls, return_exceptions=True)
    refused = [a for a in answers if isinstance(a, grpc.aio.AioRpcError)]
    assert {error.code() for error in refused} == {TOO_MUCH}
    assert len(refused) == 8
    assert place.rows(COUNTED) == place.rows(RECOUNT) == [(PROJECT, 2, 4)]


async def test_the_counts_stay_right_whatever_happens(place, stubs, new_batch, user):
    rng = random.Random(7)
    batches: dict[str, dict[str, int]] = {}

    async def create():
        jobs = rng.randint(1, 4)
        request = new_batch(jobs=jobs, open=rng.random() < 0.7)
        response = await stubs.batches.CreateBatch(request, metadata=user.metadata)
        batches[response.batch.id] = {"pending": jobs, "version": 0}

    async def add(batch_id):
        request = AddJobsRequest(batch_id=batch_id, jobs=[NewJob()] * rng.randint(1, 3))
        await stubs.batches.AddJobs(request, metadata=user.metadata)
        batches[batch_id]["pending"] += len(request.jobs)

    async def close(batch_id):
        request = CloseBatchRequest(batch_id=batch_id)
        await stubs.batches.CloseBatch(request, metadata=user.metadata)

    async def cancel(batch_id):
        request = CancelBatchRequest(batch_id=batch_id)
        await stubs.batches.CancelBatch(request, metadata=user.metadata)

    async def progress(batch_id):
        known = batches[batch_id]
        ended = rng.randint(0, known["pending"])
        known["pending"] -= ended
        known["version"] += 1
        outcome = rng.choice(["done", "error", "canceled"])
        known[outcome] = known.get(outcome, 0) + ended
        counts = {name: known.get(name, 0) for name in ("pending", "done", "error", "canceled")}
        await report(stubs, batch_id, known["version"], **counts)
        if rng.random() < 0.2:  # one that comes twice counts once
            await report(stubs, batch_id, known["version"], **counts)

    for _ in range(60):
        step = rng.choice([None, add, close, cancel, progress, progress])
        try:
            if step is None or not batches:
                await create()
            else:
                await step(rng.choice(sorted(batches)))
        except grpc.aio.AioRpcError as refused:
            if refused.code() is not grpc.StatusCode.FAILED_PRECONDITION:  # closed, or final
                raise
        assert place.rows(COUNTED) == place.rows(RECOUNT)
    assert place.rows("SELECT sum(done), sum(error), sum(canceled) FROM batch")[0] > (0, 0, 0)
