"""Open batches: jobs are added, all or none, until the batch is closed."""

import asyncio
import json

import grpc
import pytest
from sqlalchemy import text

from tweezer.database.opening import create_engine_of
from tweezer.internal.v1.progress_service_pb2 import (
    BatchProgress,
    ReportProgressRequest,
    ResolveAdditionsRequest,
)
from tweezer.v1.batch_pb2 import BatchStatus, JobCounts, NewJob
from tweezer.v1.batch_service_pb2 import (
    AddJobsRequest,
    CancelBatchRequest,
    CloseBatchRequest,
    GetBatchRequest,
    WatchBatchRequest,
)
from tweezer.v1.job_pb2 import JobStatus

OTHER_PROJECT = "22222222-2222-4222-8222-222222222222"


@pytest.fixture
def add(stubs, user):
    async def call(batch_id, jobs=1, by=user):
        if isinstance(jobs, int):
            jobs = [NewJob(runs=10) for _ in range(jobs)]
        request = AddJobsRequest(batch_id=batch_id, jobs=jobs)
        return await stubs.batches.AddJobs(request, metadata=by.metadata)

    return call


@pytest.fixture
def close(stubs, user):
    async def call(batch_id):
        request = CloseBatchRequest(batch_id=batch_id)
        return (await stubs.batches.CloseBatch(request, metadata=user.metadata)).batch

    return call


@pytest.fixture
def read(stubs, user):
    async def call(batch_id):
        request = GetBatchRequest(batch_id=batch_id)
        return (await stubs.batches.GetBatch(request, metadata=user.metadata)).batch

    return call


@pytest.fixture
def report(stubs):
    async def call(batch_id, version, **counts):
        progress = BatchProgress(batch_id=batch_id, version=version, job_counts=JobCounts(**counts))
        await stubs.progress.ReportProgress(ReportProgressRequest(reports=[progress]))

    return call


async def refusal(code, call):
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call
    assert failed.value.code() == code, failed.value.details()
    return failed.value.details()


async def test_added_jobs_continue_the_order_and_count_at_once(place, create, add, read):
    created = await create(jobs=2, open=True)
    batch_id = created.batch.id
    added = await add(batch_id, 3)
    assert [job.creation_order for job in added.jobs] == [2, 3, 4]
    assert {job.status for job in added.jobs} == {JobStatus.JOB_STATUS_PENDING}
    assert (added.batch.jobs_count, added.batch.job_counts.pending) == (5, 5)
    assert added.batch == await read(batch_id)
    assert list(added.batch.job_ids) == [job.id for job in (*created.jobs, *added.jobs)]
    held = place.queue.enqueued[1]
    assert held.batch == place.queue.enqueued[0].batch
    assert [(j.id, j.creation_order) for j in held.jobs] == [
        (j.id, j.creation_order) for j in added.jobs
    ]
    released = [
        i for _ in range(2) for i in (await place.queue.next_intent()).released_addition_ids
    ]
    assert released == [request.addition_id for request in place.queue.enqueued]


async def test_a_batch_that_started_empty_takes_jobs(create, add, sequences):
    batch_id = (await create(jobs=0, open=True)).batch.id
    added = await add(batch_id, 1)
    assert added.jobs[0].creation_order == 0
    assert added.batch.sequence == sequences.plain


async def test_intents_say_whether_the_batch_is_open(place, create, close):
    batch_id = (await create(jobs=1, open=True)).batch.id
    assert (await place.queue.next_intent()).open
    await close(batch_id)
    intent = await place.queue.next_intent()
    assert (intent.open, intent.cancelled) == (False, False)


async def test_concurrent_additions_share_no_order(create, add, read):
    batch_id = (await create(jobs=1, open=True)).batch.id
    answers = await asyncio.gather(*(add(batch_id, 2) for _ in range(10)))
    orders = sorted(job.creation_order for answer in answers for job in answer.jobs)
    assert orders == list(range(1, 21))
    batch = await read(batch_id)
    assert batch.jobs_count == 21
    assert len(set(batch.job_ids)) == 21


async def test_an_addition_that_failed_leaves_a_gap_and_nothing_else(place, create, add, read):
    batch_id = (await create(jobs=1, open=True)).batch.id
    place.queue.refuse_enqueue = grpc.StatusCode.UNAVAILABLE
    await refusal(grpc.StatusCode.UNAVAILABLE, add(batch_id, 2))
    assert (await read(batch_id)).jobs_count == 1
    place.queue.refuse_enqueue = None
    added = await add(batch_id, 1)
    assert added.jobs[0].creation_order > 0
    assert list((await read(batch_id)).job_ids)[1:] == [added.jobs[0].id]


async def test_bad_jobs_are_named_and_none_is_added(place, create, add, read, sequences):
    batch = (await create(sequence=sequences.parametrised, jobs=0, open=True)).batch
    good = {"omega": 1, "steps": [0, 1, 2], "duration": 100}
    jobs = [
        NewJob(variables_json=json.dumps(good)),
        NewJob(variables_json=json.dumps({**good, "omega": "x"})),
    ]
    details = await refusal(grpc.StatusCode.INVALID_ARGUMENT, add(batch.id, jobs))
    assert details.startswith("jobs[1].variables.omega: must be a number")
    details = await refusal(grpc.StatusCode.INVALID_ARGUMENT, add(batch.id, 0))
    assert details == "jobs: at least one is needed"
    assert (await read(batch.id)).jobs_count == 0
    assert len(place.queue.enqueued) == 1


async def test_a_batch_takes_only_so_many(place, new_batch, user):
    async with place.running(max_jobs_per_batch=3) as stubs:
        created = await stubs.batches.CreateBatch(
            new_batch(jobs=2, open=True), metadata=user.metadata
        )
        jobs = AddJobsRequest(batch_id=created.batch.id, jobs=[NewJob(), NewJob()])
        details = await refusal(
            grpc.StatusCode.INVALID_ARGUMENT, stubs.batches.AddJobs(jobs, metadata=user.metadata)
        )
        assert details == "jobs: the batch would have 4, and the limit is 3"


async def test_a_retried_job_may_carry_the_sequence_it_was_built_to(create, add, place, sequences):
    """Clients send back what they read of a job: its variables and the sequence built with them."""
    batch = (await create(sequence=sequences.parametrised, jobs=0, open=True)).batch
    variables = json.dumps({"omega": 1, "steps": [0, 1, 2], "duration": 100})
    job = NewJob(runs=5, variables_json=variables, sequence=sequences.plain)
    added = await add(batch.id, [job])
    assert added.jobs[0].variables_json == variables
    (held,) = place.queue.enqueued[1].jobs
    assert held.HasField("program_hash")
    job = NewJob(variables_json=variables, sequence=sequences.parametrised)
    details = await refusal(grpc.StatusCode.INVALID_ARGUMENT, add(batch.id, [job]))
    assert details == "jobs[0].sequence: must have no variables and no mappable register"


async def test_a_closed_batch_takes_no_jobs(create, add, close):
    batch_id = (await create(jobs=1, open=True)).batch.id
    assert not (await close(batch_id)).open
    details = await refusal(grpc.StatusCode.FAILED_PRECONDITION, add(batch_id))
    assert details == f"batch {batch_id} is closed: no jobs can be added"


@pytest.fixture
def add_while_closing(place, add, close):
    """Adds a job; the batch is closed while JobService stores it, or is about to refuse it."""

    async def call(batch_id):
        place.queue.entered.clear()
        place.queue.may_answer.clear()
        adding = asyncio.ensure_future(add(batch_id))
        await asyncio.wait_for(place.queue.entered.wait(), 60)
        await close(batch_id)
        place.queue.may_answer.set()
        return await refusal(grpc.StatusCode.FAILED_PRECONDITION, adding)

    return call


async def test_a_batch_that_is_closed_while_jobs_are_added_lacks_them(
    place, stubs, create, add_while_closing, read
):
    batch_id = (await create(jobs=1, open=True)).batch.id
    await add_while_closing(batch_id)
    assert (await read(batch_id)).jobs_count == 1
    addition_id = place.queue.enqueued[1].addition_id
    resolved = await stubs.progress.ResolveAdditions(
        ResolveAdditionsRequest(addition_ids=[addition_id])
    )
    assert resolved.unknown_addition_ids == [addition_id]


async def test_jobs_that_jobservice_refuses_because_the_batch_was_closed(
    place, create, add_while_closing
):
    batch_id = (await create(jobs=1, open=True)).batch.id
    place.queue.refuse_enqueue = grpc.StatusCode.FAILED_PRECONDITION
    details = await add_while_closing(batch_id)
    assert details == f"batch {batch_id} is closed: no jobs can be added"


async def test_jobs_that_jobservice_refuses_to_an_open_batch_are_a_fault_of_ours(
    place, create, add
):
    batch_id = (await create(jobs=1, open=True)).batch.id
    place.queue.refuse_enqueue = grpc.StatusCode.FAILED_PRECONDITION
    await refusal(grpc.StatusCode.INTERNAL, add(batch_id))


async def test_closing_ends_a_batch_whose_jobs_are_final(create, close, report):
    batch_id = (await create(jobs=1, open=True)).batch.id
    await report(batch_id, 1, done=1)
    batch = await close(batch_id)
    assert batch.status == BatchStatus.BATCH_STATUS_DONE
    assert batch.HasField("end_time")
    details = await refusal(grpc.StatusCode.FAILED_PRECONDITION, close(batch_id))
    assert details == f"batch {batch_id} is closed already"


async def test_strangers_find_no_batch(place, stubs, create, add):
    batch_id = (await create(jobs=1, open=True)).batch.id
    stranger = place.user(OTHER_PROJECT)
    details = await refusal(grpc.StatusCode.NOT_FOUND, add(batch_id, by=stranger))
    assert details == f"batch {batch_id} not found"
    for call, request in (
        (stubs.batches.CloseBatch, CloseBatchRequest(batch_id=batch_id)),
        (stubs.batches.CancelBatch, CancelBatchRequest(batch_id=batch_id)),
    ):
        await refusal(grpc.StatusCode.NOT_FOUND, call(request, metadata=stranger.metadata))


async def test_an_idle_open_batch_times_out(place, new_batch, user):
    async with place.running(open_batch_idle_s=0.2) as stubs:
        created = await stubs.batches.CreateBatch(
            new_batch(jobs=1, open=True), metadata=user.metadata
        )
        batch_id = created.batch.id
        await place.queue.next_intent()
        watching = stubs.batches.WatchBatch(
            WatchBatchRequest(batch_id=batch_id), metadata=user.metadata
        )
        progress = BatchProgress(batch_id=batch_id, version=1, job_counts=JobCounts(done=1))
        await stubs.progress.ReportProgress(ReportProgressRequest(reports=[progress]))
        seen = [state.status async for state in watching]
        assert seen[-1] == BatchStatus.BATCH_STATUS_TIMED_OUT
        assert not (await place.queue.next_intent()).open
        details = await refusal(
            grpc.StatusCode.FAILED_PRECONDITION,
            stubs.batches.AddJobs(
                AddJobsRequest(batch_id=batch_id, jobs=[NewJob()]), metadata=user.metadata
            ),
        )
        assert "is closed" in details


async def test_only_open_batches_without_a_job_to_run_may_time_out(
    place, create, add, close, report
):
    def idle():
        return {row[0] for row in place.rows("SELECT id FROM batch WHERE idle_since IS NOT NULL")}

    empty = (await create(jobs=0, open=True)).batch.id
    busy = (await create(jobs=1, open=True)).batch.id
    await create(jobs=1)
    assert idle() == {empty}
    await add(empty)
    assert idle() == set()
    await report(busy, 1, done=1)
    assert idle() == {busy}
    await close(busy)
    assert idle() == set()


async def test_jobs_on_their_way_keep_an_idle_batch_open(place, create, add):
    batch_id = (await create(jobs=0, open=True)).batch.id
    engine = create_engine_of(place.settings.batch_database)
    with engine.begin() as connection:
        connection.execute(text("UPDATE batch SET idle_since = 1"))
    engine.dispose()
    place.queue.entered.clear()
    place.queue.may_answer.clear()
    call = asyncio.ensure_future(add(batch_id))
    await asyncio.wait_for(place.queue.entered.wait(), 60)
    assert place.rows("SELECT idle_since FROM batch")[0][0] > 1
    place.queue.may_answer.set()
    await call
