"""How much results take is counted by project, through all that stores and removes them."""

import asyncio
import random
import uuid
from functools import partial

import grpc
import pytest

from tweezer.database.timestamps import now_micros
from tweezer.internal.v1 import queue_service_pb2 as pb
from tweezer.job.metrics import JobMetrics
from tweezer.job.outcomes import Outcome
from tweezer.job.result_retention import ResultRetention
from tweezer.job.result_sweep import ResultSweep
from tweezer.job.results import ResultStore
from tweezer.job.store import endings, forgetting, leases, result_rows
from tweezer.job.store.endings import Ending
from tweezer.process.metrics import Metrics

PROJECT = "11111111-1111-4111-8111-111111111111"
OTHER = "22222222-2222-4222-8222-222222222222"

COUNTED = "SELECT project_id, result_bytes FROM project_storage WHERE result_bytes <> 0"
RECOUNT = """
    SELECT project_id, sum(result_bytes) FROM job
    WHERE result_key IS NOT NULL AND result_removed_at IS NULL GROUP BY project_id
"""
#: Later than every end of a job.
LATER = 10**17


def counted(place) -> dict[str, int]:
    rows = {row[0]: int(row[1]) for row in place.rows(COUNTED)}
    assert rows == {row[0]: int(row[1]) for row in place.rows(RECOUNT)}
    return rows


async def finished(process, *sizes: int, project: str = PROJECT) -> str:
    """Runs a batch with results of these sizes."""
    added = await process.add(len(sizes), project_id=project)
    for lease, size in zip(await process.lease(len(sizes)), sizes, strict=True):
        assert await process.finish(lease.token, result=b"x" * size)
    return added.batch.id


def on_disk(process, project: str) -> int:
    files = (process.settings.results_dir / project).rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file())


async def test_what_is_counted_is_what_is_stored(database, process) -> None:
    first = await finished(process, 100, 20, 3)
    await finished(process, 5000)
    await finished(process, 7, project=OTHER)
    assert counted(process) == {PROJECT: 5123, OTHER: 7}
    assert (on_disk(process, PROJECT), on_disk(process, OTHER)) == (5123, 7)
    await process.queue.ForgetBatches(pb.ForgetBatchesRequest(batch_ids=[first, first]))
    assert counted(process) == {PROJECT: 5000, OTHER: 7}
    results = ResultStore.in_folder(process.settings.results_dir)
    retention = ResultRetention(database, results, lambda: LATER, days=1)
    assert await retention.remove_old() == 2
    assert counted(process) == {}
    assert on_disk(process, PROJECT) == 0


async def test_what_is_said_twice_or_too_late_is_not_counted(process) -> None:
    await process.add(2)
    done, failed = await process.lease(2)
    for _ in range(2):
        assert await process.finish(done.token, result=b"x" * 10)
    assert await process.finish(failed.token, failure="No.")
    assert not await process.finish(failed.token, result=b"x" * 10)
    assert counted(process) == {PROJECT: 10}


async def refusal(call) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    return refused.value.details()


async def test_a_project_with_too_much_gets_no_more_jobs(tables, run_jobs) -> None:
    async with run_jobs(max_stored_bytes_per_project=1000) as process:
        batch_id = await finished(process, 600)
        request = await process.enqueue(1)  # a project that has less may bring more than fits
        batch_id_of_more = str(uuid.uuid4())
        request.batch.id, request.addition_id = batch_id_of_more, str(uuid.uuid4())
        request.jobs[0].id = str(uuid.uuid5(uuid.UUID(batch_id_of_more), "0"))
        request.sequence_bytes = 400
        told = await refusal(process.queue.EnqueueJobs(request))
        assert told == (
            f"project {PROJECT} has 1000 bytes of results and sequences stored, and the limit is"
            " 1000: an operator can delete finished batches"
        )
        await process.enqueue(1, project_id=OTHER)
        await process.queue.ForgetBatches(pb.ForgetBatchesRequest(batch_ids=[batch_id]))
        await process.queue.EnqueueJobs(request)


async def test_results_that_are_older_than_the_count_are_counted_by_the_sweep(
    database, process
) -> None:
    await finished(process, 100, 20)

    def forget_sizes(connection) -> None:
        connection.exec_driver_sql("UPDATE job SET result_bytes = NULL")
        connection.exec_driver_sql("DELETE FROM project_storage")

    await database.write(forget_sizes)
    await finished(process, 3)
    assert process.rows(COUNTED) == [(PROJECT, 3)]
    sweep = ResultSweep(
        database,
        ResultStore.in_folder(process.settings.results_dir),
        lambda: now_micros() + 60_000_000,
        JobMetrics(Metrics()),
        delay_s=0,
        interval_s=1,
        grace_s=1,
    )
    for _ in range(2):
        await sweep.sweep()
        assert counted(process) == {PROJECT: 123}


async def test_whoever_changes_it_at_the_same_time(tables, database) -> None:
    """Ends of jobs, removals and deletions by several connections at once lose no byte."""
    rng = random.Random(5)
    batches = [tables.add(4, project_id=rng.choice([PROJECT, OTHER])) for _ in range(12)]
    taken = tables(lambda c: leases.take(c, ["EMU_FREE"], 100, LATER, 2_000))
    tokens = [lease.token for batch in taken for lease in batch.leases]
    assert len(tokens) == 48
    ends = [
        Ending(token, Outcome.RESULT, result_key=token, result_bytes=rng.randint(1, 10**9))
        for token in tokens
    ]

    def finish(some: list[Ending]):
        return database.write(lambda c: endings.end(c, some, 3, 3_000))

    def remove():
        def removal(connection) -> None:
            old = result_rows.stored(connection, LATER)
            result_rows.record_removal(connection, rng.sample(old, len(old) // 2), 4_000)

        return database.write(removal)

    def forget(batch):
        return database.write(lambda c: forgetting.forget(c, batch.batch.id))

    works = [partial(finish, ends[i : i + 3]) for i in range(0, 48, 3)]
    works += [remove] * 4 + [partial(forget, batch) for batch in batches[:4]]
    rng.shuffle(works)
    await asyncio.gather(*(work() for work in works))
    for batch in batches[:3]:
        await forget(batch)

    class Rows:
        @staticmethod
        def rows(statement: str) -> list[tuple[object, ...]]:
            return [tuple(row.values()) for row in tables.rows(statement)]

    assert counted(Rows) != {}
