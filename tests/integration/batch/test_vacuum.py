"""Deleting finished batches: what goes, what stays, and in which order."""

import asyncio

import grpc
import pytest

from tweezer.database.timestamps import now_micros, to_timestamp
from tweezer.internal.v1.progress_service_pb2 import BatchProgress, ReportProgressRequest
from tweezer.v1.batch_pb2 import JobCounts, NewJob
from tweezer.v1.batch_service_pb2 import GetBatchRequest, RepeatBatchRequest
from tweezer.v1.operator_service_pb2 import VacuumRequest

PROJECT = "11111111-1111-4111-8111-111111111111"
DAY = 24 * 3600 * 1_000_000
TABLES = ("batch", "batch_tag", "addition", "job_program", "program")


@pytest.fixture
def operator(place):
    return place.operator()


@pytest.fixture
def vacuum(stubs, operator):
    async def call(before=None, by=operator, on=stubs, **changes):
        request = VacuumRequest(ended_before=to_timestamp(before or now_micros()), **changes)
        return await on.operators.Vacuum(request, metadata=by.metadata)

    return call


@pytest.fixture
def finish(place, stubs):
    """Ends batches, and sees to it that nothing of them is left to be told."""

    async def call(*batch_ids, ended=None):
        for batch_id in batch_ids:
            while (await place.queue.next_intent()).batch_id != batch_id:
                pass
            (jobs,) = place.rows("SELECT jobs_count FROM batch WHERE id = :id", id=batch_id)[0]
            progress = BatchProgress(
                batch_id=batch_id,
                version=1,
                job_counts=JobCounts(done=jobs),
                end_time=to_timestamp(ended or now_micros() - DAY),
            )
            await stubs.progress.ReportProgress(ReportProgressRequest(reports=[progress]))
        await place.until_all_is_told()

    return call


async def refusal(code, call):
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call
    assert failed.value.code() == code, failed.value.details()
    return failed.value.details()


def counts(place):
    return [place.rows(f"SELECT count(*) FROM {table}")[0][0] for table in TABLES]


async def test_finished_batches_go_with_all_they_have(place, create, finish, vacuum, sequences):
    old = (
        await create(
            jobs=[NewJob(sequence=sequences.unmeasured), NewJob(runs=1)],
            sequence=sequences.of_square(3),
            tags=["a", "b"],
        )
    ).batch
    await finish(old.id)
    running = (await create(jobs=[NewJob(sequence=sequences.plain)], sequence=None)).batch
    assert counts(place) == [2, 2, 2, 2, 3]
    foreseen = await vacuum(dry_run=True)
    assert (foreseen.batches, foreseen.jobs, foreseen.programs) == (1, 2, 2)
    assert counts(place) == [2, 2, 2, 2, 3]
    assert place.queue.forgets.empty()
    done = await vacuum()
    assert (done.batches, done.jobs, done.results, done.programs) == (1, 2, 1, 2)
    assert done.left_batches == 0
    assert place.queue.forgets.get_nowait() == [old.id]
    assert counts(place) == [1, 0, 1, 1, 1]
    assert place.rows("SELECT id FROM batch") == [(running.id,)]
    assert place.rows("SELECT batches, unfinished_jobs FROM project_load") == [(1, 1)]
    again = await vacuum()
    assert (again.batches, again.jobs, again.programs) == (0, 0, 0)
    assert place.queue.forgets.empty()


async def test_what_ended_later_stays(place, create, finish, vacuum):
    ids = [(await create()).batch.id for _ in range(3)]
    for days, batch_id in zip((3, 2, 1), ids, strict=True):
        await finish(batch_id, ended=now_micros() - days * DAY)
    done = await vacuum(before=now_micros() - DAY * 3 // 2)
    assert done.batches == 2
    assert place.rows("SELECT id FROM batch") == [(ids[2],)]


async def test_many_are_deleted_a_hundred_at_a_time(place, create, stubs, vacuum):
    created = [(await create()).batch.id for _ in range(130)]
    await stubs.progress.ReportProgress(
        ReportProgressRequest(
            reports=[
                BatchProgress(batch_id=i, version=1, job_counts=JobCounts(done=1)) for i in created
            ]
        )
    )
    await place.until_all_is_told()
    assert (await vacuum()).batches == 130
    sizes = [len(place.queue.forgets.get_nowait()) for _ in range(place.queue.forgets.qsize())]
    assert sizes == [100, 30]
    assert counts(place)[0] == 0


async def test_a_batch_that_job_service_keeps_stays(place, create, finish, vacuum):
    kept, gone = [(await create()).batch.id for _ in range(2)]
    await finish(kept, gone)
    place.queue.unforgettable = {kept}
    done = await vacuum()
    assert (done.batches, done.left_batches) == (1, 1)
    assert place.rows("SELECT id FROM batch") == [(kept,)]


async def test_what_is_not_told_yet_stays(place, create, stubs, vacuum):
    place.queue.refuse_intents = lambda _: grpc.StatusCode.UNAVAILABLE
    batch_id = (await create()).batch.id
    progress = BatchProgress(batch_id=batch_id, version=1, job_counts=JobCounts(done=1))
    await stubs.progress.ReportProgress(ReportProgressRequest(reports=[progress]))
    assert (await vacuum(dry_run=True)).batches == 0
    assert (await vacuum()).batches == 0
    assert counts(place)[0] == 1


async def test_a_crash_in_between_is_repaired_by_repeating(place, create, finish, operator, vacuum):
    batch_id = (await create()).batch.id
    await finish(batch_id)
    place.queue.refuse_forget = grpc.StatusCode.UNAVAILABLE  # and yet it did, or did half of it
    await refusal(grpc.StatusCode.UNAVAILABLE, vacuum())
    assert counts(place)[0] == 1
    place.queue.refuse_forget = None
    assert (await vacuum()).batches == 1
    assert counts(place) == [0, 0, 0, 0, 0]


async def test_children_keep_the_name_of_their_parent(place, create, finish, stubs, user, vacuum):
    parent = (await create()).batch
    place.queue.lists_what_is_enqueued = True
    child = await stubs.batches.RepeatBatch(
        RepeatBatchRequest(batch_id=parent.id), metadata=user.metadata
    )
    await finish(parent.id)
    done = await vacuum()
    assert (done.batches, done.programs) == (1, 0)  # the child needs the sequence
    read = await stubs.batches.GetBatch(
        GetBatchRequest(batch_id=child.batch.id), metadata=user.metadata
    )
    assert read.batch.parent_id == parent.id
    assert read.batch.sequence == parent.sequence


async def test_a_repetition_of_what_is_deleted_meanwhile_is_refused(
    place, create, finish, stubs, user, vacuum
):
    parent = (await create()).batch
    await finish(parent.id)
    place.queue.lists_what_is_enqueued = True
    place.queue.entered.clear()
    place.queue.may_answer.clear()
    repeating = asyncio.create_task(
        asyncio.wait_for(
            stubs.batches.RepeatBatch(
                RepeatBatchRequest(batch_id=parent.id), metadata=user.metadata
            ),
            60,
        )
    )
    await place.queue.entered.wait()
    assert (await vacuum()).programs == 1
    place.queue.may_answer.set()
    details = await refusal(grpc.StatusCode.UNAVAILABLE, repeating)
    assert details == "a sequence of the batch was deleted in this moment: try again"
    assert counts(place) == [0, 0, 0, 0, 0]


async def test_a_named_call_whose_batch_is_deleted_is_not_found(create, finish, vacuum):
    batch_id = (await create(request_id="x")).batch.id
    await finish(batch_id)
    await vacuum()
    details = await refusal(grpc.StatusCode.NOT_FOUND, create(request_id="x"))
    assert details == f"batch {batch_id} not found"


async def test_operators_only(place, vacuum, user):
    await refusal(grpc.StatusCode.NOT_FOUND, vacuum(by=user))


async def test_without_a_time_the_setting_says_it(place, operator, stubs):
    call = stubs.operators.Vacuum(VacuumRequest(), metadata=operator.metadata)
    details = await refusal(grpc.StatusCode.INVALID_ARGUMENT, call)
    assert details == "ended_before: is needed where batches are kept for ever"


async def test_old_batches_are_deleted_at_the_start_where_a_setting_says_so(place, create, finish):
    old, young = [(await create()).batch.id for _ in range(2)]
    await finish(old, ended=now_micros() - 3 * DAY)
    await finish(young, ended=now_micros() - DAY)
    place.queue.refuse_forget = grpc.StatusCode.UNAVAILABLE
    async with place.running(batch_retention_days=2) as stubs:
        forget = place.queue.forgets.get
        assert await asyncio.wait_for(forget(), 60) == [old]
        place.queue.refuse_forget = None
        while await asyncio.wait_for(forget(), 60) != [old]:
            pass  # an attempt that was refused
        request = VacuumRequest(dry_run=True)
        async with asyncio.timeout(60):
            while (
                await stubs.operators.Vacuum(request, metadata=place.operator().metadata)
            ).batches:
                pass  # it is about to be deleted here
    assert place.rows("SELECT id FROM batch") == [(young,)]
