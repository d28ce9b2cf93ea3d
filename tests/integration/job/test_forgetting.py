"""Finished batches are forgotten on BatchService's word, with their jobs and results."""

import uuid

import grpc
import pytest

from tweezer.database.timestamps import now_micros
from tweezer.internal.v1 import queue_service_pb2 as pb
from tweezer.job.forgetting import Forgetting
from tweezer.job.metrics import JobMetrics
from tweezer.job.result_sweep import ResultSweep
from tweezer.job.results import ResultStore
from tweezer.process.metrics import Metrics
from tweezer.v1 import job_service_pb2 as jobs_pb


async def finished(process, jobs: int = 3) -> pb.EnqueueJobsRequest:
    added = await process.add(jobs)
    for lease in await process.lease(jobs):
        assert await process.finish(lease.token, result=b"{}")
    return added


async def forget(process, *batch_ids: str) -> pb.ForgetBatchesResponse:
    return await process.queue.ForgetBatches(pb.ForgetBatchesRequest(batch_ids=batch_ids))


def rows(process, table: str) -> int:
    ((number,),) = process.rows(f"SELECT count(*) FROM {table}")
    return number


def files(process) -> list[str]:
    folder = process.settings.results_dir
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


async def test_nothing_is_left_of_a_finished_batch(process, member) -> None:
    gone = await finished(process, 3)
    kept = await finished(process, 2)
    answer = await forget(process, gone.batch.id)
    assert list(answer.forgotten_batch_ids) == [gone.batch.id]
    assert (answer.deleted_jobs, answer.deleted_results) == (3, 3)
    assert [rows(process, t) for t in ("job", "queued_batch", "queued_addition")] == [2, 1, 1]
    assert [name.split(".")[0] for name in files(process)] == sorted(job.id for job in kept.jobs)
    # Not even an empty folder.
    (project,) = process.settings.results_dir.iterdir()
    assert [folder.name for folder in project.iterdir()] == [kept.batch.id]
    for job in gone.jobs:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await process.jobs.GetJob(jobs_pb.GetJobRequest(job_id=job.id), metadata=member)
        assert refused.value.code() is grpc.StatusCode.NOT_FOUND


async def test_an_unfinished_batch_is_left_as_it_is(process) -> None:
    done = await finished(process, 1)
    running = await process.add(2)
    (lease, _) = await process.lease(2)
    held = await process.enqueue(2)
    await process.finish(lease.token, result=b"{}")
    answer = await forget(process, running.batch.id, done.batch.id, held.batch.id)
    assert list(answer.forgotten_batch_ids) == [done.batch.id]
    assert (rows(process, "job"), len(files(process))) == (4, 1)
    # The held ones can still be released.
    await process.intend(held.batch.id, 1, [held.addition_id])
    assert len(await process.lease(5)) == 2


async def test_it_may_be_said_again(process) -> None:
    added = await finished(process, 2)
    first = await forget(process, added.batch.id, added.batch.id)
    again = await forget(process, added.batch.id, str(uuid.uuid4()))
    assert list(first.forgotten_batch_ids) == [added.batch.id]
    assert again.forgotten_batch_ids[0] == added.batch.id
    assert len(again.forgotten_batch_ids) == 2  # one that was never known is no different
    assert (again.deleted_jobs, again.deleted_results) == (0, 0)


async def test_late_words_about_a_forgotten_batch_change_nothing(process) -> None:
    added = await process.add(1)
    (lease,) = await process.lease()
    await process.finish(lease.token, result=b"{}")
    await forget(process, added.batch.id)
    assert not await process.finish(lease.token, result=b"{}")
    assert await process.renew(lease.token) == [lease.token]
    await process.intend(added.batch.id, 2, cancelled=True)
    assert (rows(process, "job"), rows(process, "queued_batch"), files(process)) == (0, 0, [])


async def test_bad_identifiers_are_named(process) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await forget(process, "x")
    assert refused.value.details().startswith("batch_ids: ")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await forget(process, *[str(uuid.uuid4())] * 1001)
    assert refused.value.details() == "batch_ids: must have at most 1000 items."


async def test_results_that_a_crash_left_are_removed_by_the_sweep(process, database) -> None:
    """The rows were deleted, then the process was killed before it removed the results."""
    gone, kept = await finished(process, 3), await finished(process, 1)

    class Killed(Exception):
        pass

    class Ending(ResultStore):
        async def remove_all(self, prefix: str) -> int:
            raise Killed

    results = ResultStore.in_folder(process.settings.results_dir)
    with pytest.raises(Killed):
        await Forgetting(database, Ending(results._backing)).forget([gone.batch.id])
    assert (rows(process, "job"), len(files(process))) == (1, 4)
    sweep = ResultSweep(
        database,
        results,
        lambda: now_micros() + 3_601_000_000,
        JobMetrics(Metrics()),
        delay_s=0,
        interval_s=1,
        grace_s=3600,
    )
    await sweep.sweep()
    assert [name.split(".")[0] for name in files(process)] == [kept.jobs[0].id]
