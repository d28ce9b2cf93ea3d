"""Repeating batches, labelling them, and when projects were last active."""

import grpc
import pytest

from tweezer.internal.v1.queue_service_pb2 import QueuedJob
from tweezer.v1.batch_pb2 import BatchFilter, BatchStatus, NewJob
from tweezer.v1.batch_service_pb2 import (
    AddJobsRequest,
    GetBatchRequest,
    ListBatchesRequest,
    ListLastActivityRequest,
    RepeatBatchRequest,
    SetBatchTagsRequest,
)
from tweezer.v1.job_pb2 import JobFilter

PROJECT = "11111111-1111-4111-8111-111111111111"
OTHER_PROJECT = "22222222-2222-4222-8222-222222222222"


@pytest.fixture
def repeat(stubs, user):
    async def call(batch_id, by=user, **wanted):
        request = RepeatBatchRequest(batch_id=batch_id, filter=JobFilter(**wanted))
        return await stubs.batches.RepeatBatch(request, metadata=by.metadata)

    return call


@pytest.fixture
def set_tags(stubs, user):
    async def call(batch_id, tags, by=user):
        request = SetBatchTagsRequest(batch_id=batch_id, tags=tags)
        return (await stubs.batches.SetBatchTags(request, metadata=by.metadata)).batch

    return call


async def refusal(code, call):
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call
    assert failed.value.code() == code, failed.value.details()
    return failed.value.details()


async def test_the_matching_jobs_are_repeated(place, create, repeat, stubs, user, sequences):
    original = await create(
        jobs=[NewJob(runs=7), NewJob(runs=8, sequence=sequences.unmeasured)],
        open=True,
        tags=["a"],
        configuration_json="{}",
    )
    job = place.queue.enqueued[0].jobs[1]
    place.queue.queued_jobs = [job]
    response = await repeat(original.batch.id, ids=[job.id])
    (asked,) = place.queue.list_requests
    assert (asked.batch_id, list(asked.filter.ids)) == (original.batch.id, [job.id])
    batch = response.batch
    assert batch.parent_id == original.batch.id
    assert batch.id != original.batch.id
    assert (batch.open, batch.jobs_count) == (False, 1)
    assert (batch.sequence, batch.tags, batch.configuration_json) == (sequences.plain, ["a"], "{}")
    (repeated,) = response.jobs
    assert (repeated.parent_id, repeated.runs, repeated.creation_order) == (job.id, 8, 0)
    held = place.queue.enqueued[1]
    assert held.batch.program_hash == place.queue.enqueued[0].batch.program_hash
    assert (held.jobs[0].parent_id, held.jobs[0].program_hash) == (job.id, job.program_hash)
    read = await stubs.batches.GetBatch(GetBatchRequest(batch_id=batch.id), metadata=user.metadata)
    assert read.batch == batch
    tagged = await stubs.batches.ListBatches(
        ListBatchesRequest(filter=BatchFilter(tag="a")), metadata=user.metadata
    )
    assert tagged.total_size == 2
    source = await stubs.batches.GetBatch(
        GetBatchRequest(batch_id=original.batch.id), metadata=user.metadata
    )
    assert (source.batch.jobs_count, source.batch.open) == (2, True)
    assert source.batch.status == BatchStatus.BATCH_STATUS_PENDING


async def test_without_a_matching_job_there_is_no_batch(place, create, repeat):
    batch_id = (await create()).batch.id
    details = await refusal(grpc.StatusCode.INVALID_ARGUMENT, repeat(batch_id))
    assert details == f"filter: no job of batch {batch_id} matches"
    details = await refusal(grpc.StatusCode.INVALID_ARGUMENT, repeat(batch_id, min_runs=-1))
    assert details == "min_runs: must not be negative"
    assert place.rows("SELECT count(*) FROM batch") == [(1,)]


async def test_strangers_repeat_and_label_nothing(place, create, repeat, set_tags):
    place.queue.queued_jobs = [QueuedJob(id="6f9619ff-8b86-4d01-b42d-00cf4fc964ff")]
    batch_id = (await create()).batch.id
    stranger = place.user(OTHER_PROJECT)
    for call in (repeat(batch_id, by=stranger), set_tags(batch_id, ["x"], by=stranger)):
        details = await refusal(grpc.StatusCode.NOT_FOUND, call)
        assert details == f"batch {batch_id} not found"
    assert place.queue.list_requests == []


async def test_tags_are_replaced(stubs, user, create, set_tags):
    batch_id = (await create(tags=["old", "kept"])).batch.id
    batch = await set_tags(batch_id, ["kept", "new", "new"])
    assert batch.tags == ["kept", "new"]

    async def found(tag):
        response = await stubs.batches.ListBatches(
            ListBatchesRequest(filter=BatchFilter(tag=tag)), metadata=user.metadata
        )
        return response.total_size

    assert [await found(tag) for tag in ("old", "kept", "new")] == [0, 1, 1]
    assert (await set_tags(batch_id, [])).tags == []
    assert await found("kept") == 0
    details = await refusal(grpc.StatusCode.INVALID_ARGUMENT, set_tags(batch_id, [""]))
    assert details == "tags[0]: must have 1 to 256 characters"


async def test_the_last_activity_of_ones_projects(place, stubs, create):
    operator = place.operator(PROJECT, OTHER_PROJECT)

    async def activity(by=operator, **wanted):
        response = await stubs.batches.ListLastActivity(
            ListLastActivityRequest(**wanted), metadata=by.metadata
        )
        return {p.project_id: p.last_activity_time.ToNanoseconds() for p in response.projects}

    assert await activity() == {}
    batch = (await create(open=True)).batch
    created = await activity()
    assert created == {PROJECT: batch.create_time.ToNanoseconds()}
    await stubs.batches.AddJobs(
        AddJobsRequest(batch_id=batch.id, jobs=[NewJob()]), metadata=operator.metadata
    )
    added = await activity(project_ids=[PROJECT, OTHER_PROJECT])
    assert added[PROJECT] > created[PROJECT]
    assert await activity(project_ids=[OTHER_PROJECT]) == {}
    await refusal(grpc.StatusCode.NOT_FOUND, activity(by=place.user(PROJECT)))
