"""Storage that is locked, full, read-only or gone: told cleanly, nothing lost, and on it goes."""

import asyncio
import resource
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from sqlalchemy import Connection, Engine, event

from tweezer.database import sqlite, sqlite_writer
from tweezer.database.trouble import DatabaseUnavailable
from tweezer.internal.v1 import lease_service_pb2 as pb
from tweezer.internal.v1 import queue_service_pb2 as queue_pb
from tweezer.job.leasing import Leasing
from tweezer.job.results import ResultStore
from tweezer.job.signals import Signals
from tweezer.job.store import leases
from tweezer.v1 import job_pb2
from tweezer.v1 import job_service_pb2 as jobs_pb

SECOND = 1_000_000


@pytest.fixture
def backend() -> str:
    """SQLite's own troubles; the loops and calls know no difference."""
    return "sqlite"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets statements give up on a lock soon, so that the tests need not wait."""
    for module in (sqlite, sqlite_writer):
        monkeypatch.setattr(module, "BUSY_TIMEOUT_MS", 50)


@contextmanager
def locked(file) -> Iterator[None]:
    """Holds the write lock, as another program may."""
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


class Limit:
    """What SQLite is told at the beginning of each transaction."""

    pragma: str | None = None

    def __call__(self, connection: Connection) -> None:
        if self.pragma is not None:
            connection.exec_driver_sql(f"PRAGMA {self.pragma}")


@pytest.fixture
def limit() -> Iterator[Limit]:
    limit = Limit()
    event.listen(Engine, "begin", limit)
    yield limit
    event.remove(Engine, "begin", limit)


def full(process) -> tuple[str, str]:
    with sqlite3.connect(process.settings.job_database_file) as connection:
        ((pages,),) = connection.execute("PRAGMA page_count")
    return f"max_page_count = {pages}", "max_page_count = 1073741823"


def read_only(process) -> tuple[str, str]:
    return "query_only = ON", "query_only = OFF"


async def refusal(call) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    return refused.value.code(), refused.value.details()


def big_addition(process) -> list[queue_pb.QueuedJob]:
    """More than fits into the pages that are there."""
    return [
        queue_pb.QueuedJob(
            id=f"00000000-0000-4000-8000-{order:012}",
            creation_order=order,
            variables_json="x" * 900,
        )
        for order in range(300)
    ]


async def cancel(process, member, job_id: str) -> jobs_pb.CancelJobResponse:
    return await process.jobs.CancelJob(jobs_pb.CancelJobRequest(job_id=job_id), metadata=member)


async def statuses(process, member) -> dict[str, int]:
    response = await process.jobs.ListJobs(jobs_pb.ListJobsRequest(), metadata=member)
    return {job.id: job.status for job in response.jobs}


# --- the database ---------------------------------------------------------------------------


@pytest.mark.usefixtures("impatient")
async def test_a_locked_database_is_told_and_got_over(run_jobs, member, batch_side) -> None:
    async with run_jobs() as process:
        added = await process.add(3)
        (lease,) = await process.lease()
        kept = await statuses(process, member)
        with locked(process.settings.job_database_file):
            sentence = "the database is locked by another program at present"
            for call in (
                cancel(process, member, added.jobs[2].id),
                process.lease(),
                process.renew(lease.token),
                process.finish(lease.token, result=b"{}"),
                process.enqueue(1),
                process.intend(added.batch.id, 2, cancelled=True),
            ):
                assert await refusal(call) == (grpc.StatusCode.UNAVAILABLE, sentence)
            # Who only reads does not notice.
            assert await statuses(process, member) == kept
        assert await process.finish(lease.token, result=b"{}")
        assert len(await process.lease(5)) == 2
        await batch_side.until(
            lambda s: (
                (counts := s.progress[added.batch.id].job_counts).done == 1 and counts.running == 2
            )
        )


@pytest.mark.slow
async def test_a_database_that_is_locked_for_longer_than_anybody_waits(
    run_jobs, member, batch_side
) -> None:
    """The real time: 10 seconds and more."""
    async with run_jobs() as process:
        added = await process.add(2)
        (lease,) = await process.lease()
        waiting = asyncio.create_task(process.lease(wait=0))
        with locked(process.settings.job_database_file):
            code, _ = await refusal(cancel(process, member, added.jobs[1].id))
            assert code is grpc.StatusCode.UNAVAILABLE
        await waiting
        assert await process.finish(lease.token, result=b"{}")
        await batch_side.until(lambda s: s.progress[added.batch.id].job_counts.done == 1)


@pytest.mark.usefixtures("impatient")
async def test_the_loops_outlive_a_lock(run_jobs, batch_side) -> None:
    """Each of them needs the database while it is locked, and does its work after that."""
    async with run_jobs(addition_grace_s=0.3) as process:
        running = await process.add(1)
        (lease,) = await process.lease(duration=0.3)
        held = await process.enqueue(2)
        reports = batch_side.reports
        with locked(process.settings.job_database_file):
            # Asked whether the addition is committed, the loop cannot write down the answer.
            await batch_side.until(lambda s: len(s.asked) >= 2)
        (again,) = await process.lease(wait=60)  # the lease ran out, at last
        assert (again.job_id, again.attempt) == (running.jobs[0].id, 2)
        await batch_side.until(lambda s: s.reports > reports)
        while await process.lease():
            raise AssertionError("held jobs cannot be leased")
        # The addition was dropped, so that it can be stored under the same orders.
        answer = await process.queue.ForgetBatches(
            queue_pb.ForgetBatchesRequest(batch_ids=[held.batch.id])
        )
        assert (list(answer.forgotten_batch_ids), answer.deleted_jobs) == ([held.batch.id], 0)
        assert not await process.finish(lease.token, result=b"{}")


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        (full, "the database has no space left at present"),
        (read_only, "the database cannot be written at present"),
    ],
)
async def test_a_database_that_takes_nothing_loses_nothing(
    run_jobs, member, batch_side, limit: Limit, state: Callable, sentence: str
) -> None:
    async with run_jobs() as process:
        added = await process.add(2)
        (lease,) = await process.lease()
        before = await statuses(process, member)
        limit.pragma, released = state(process)
        refused = await refusal(process.enqueue(big_addition(process)))
        assert refused == (grpc.StatusCode.UNAVAILABLE, sentence)
        assert await statuses(process, member) == before
        limit.pragma = released
        await process.add(big_addition(process))
        assert await process.finish(lease.token, result=b"{}")
        assert len(await statuses(process, member)) == 100  # a page of them
        await batch_side.until(lambda s: s.progress[added.batch.id].job_counts.done == 1)


@pytest.mark.usefixtures("impatient")
async def test_a_database_file_that_is_moved_away_is_not_replaced(tables, database) -> None:
    tables.add(2)
    tables.close()
    file = Path(tables.url.database)
    away = file.with_name("away.db")

    def take(connection: Connection) -> int:
        batches = leases.take(connection, ["EMU_FREE"], 1, 9_000, 2_000)
        return sum(len(batch.leases) for batch in batches)

    assert await database.write(take) == 1
    with locked(file):
        with pytest.raises(DatabaseUnavailable, match="locked"):
            await database.write(take)  # after this it is opened anew
        move(file, away)
    with pytest.raises(DatabaseUnavailable, match="not there"):
        await database.write(take)
    assert not is_there(file)
    move(away, file)
    assert await database.write(take) == 1


def move(file: Path, to: Path) -> None:
    file.rename(to)


def is_there(file: Path) -> bool:
    return file.exists()


# --- leases that nobody could renew ---------------------------------------------------------


class Hands:
    """A clock that the test sets."""

    def __init__(self, now: int) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def leasing(database, tmp_path) -> tuple[Leasing, Hands]:
    clock = Hands(10 * SECOND)
    results = ResultStore.in_folder(tmp_path / "results")
    return Leasing(database, results, Signals(clock), clock, 3), clock


def lease_until(tables, expires_at: int) -> None:
    tables(lambda c: leases.take(c, ["EMU_FREE"], 1, expires_at, 2_000))


def lease_rows(tables) -> list[tuple[str, int | None]]:
    rows = tables.rows("SELECT status, lease_expires_at FROM job ORDER BY seq")
    return [(row["status"], row["lease_expires_at"]) for row in rows]


async def test_leases_that_ran_out_while_the_process_stood_still_are_spared(
    tables, leasing
) -> None:
    service, clock = leasing
    wanted, cancelled = tables.add(1), tables.add(1)
    lease_until(tables, 10 * SECOND)
    lease_until(tables, 10 * SECOND)
    tables.intend(cancelled.batch.id, 2, cancelled=True)
    clock.now = 40 * SECOND
    assert await service.expire(spare_us=5 * SECOND)
    # Nobody wants the other one any more: its worker need not be waited for.
    assert lease_rows(tables) == [("RUNNING", 45 * SECOND), ("CANCELED", None)]
    clock.now = 45 * SECOND
    assert not await service.expire(spare_us=5 * SECOND)
    assert lease_rows(tables)[0] == ("PENDING", None)
    assert tables.rows("SELECT attempt FROM job")[0] == {"attempt": 1}
    assert wanted.batch.id


async def test_leases_that_run_out_under_a_lock_are_spared(tables, leasing) -> None:
    service, clock = leasing
    tables.add(1)
    lease_until(tables, 10 * SECOND)
    with locked(tables.url.database):
        sweep = asyncio.create_task(service.expire(spare_us=5 * SECOND))
        await asyncio.sleep(0)  # it begins, and waits for the lock
        clock.now = 19 * SECOND
    assert await sweep
    assert lease_rows(tables) == [("RUNNING", 24 * SECOND)]


async def test_a_lease_that_runs_out_in_time_is_lost(tables, leasing) -> None:
    service, clock = leasing
    tables.add(1)
    lease_until(tables, 10 * SECOND)
    clock.now = 11 * SECOND
    assert not await service.expire(spare_us=5 * SECOND)
    assert lease_rows(tables) == [("PENDING", None)]


# --- the result store -----------------------------------------------------------------------


async def test_a_result_store_that_is_gone_is_told_and_got_over(
    process, member, batch_side
) -> None:
    added = await process.add(2)
    first, second = await process.lease(2)
    await process.finish(first.token, result=b'{"a": 1}')
    folder = process.settings.results_dir
    away = folder.with_name("away")
    sentence = "the result store is not available at present"
    request = jobs_pb.GetResultRequest(job_id=first.job_id)

    async def read() -> bytes:
        call = process.jobs.GetResult(request, metadata=member)
        return b"".join([part.chunk async for part in call])

    folder.rename(away)
    assert await refusal(read()) == (grpc.StatusCode.UNAVAILABLE, sentence)
    folder.write_text("this is not a folder")
    assert await refusal(read()) == (grpc.StatusCode.UNAVAILABLE, sentence)
    refused = await refusal(process.finish(second.token, result=b'{"b": 2}'))
    assert refused == (grpc.StatusCode.UNAVAILABLE, sentence)
    # The job is not DONE without its result, and its lease can be kept.
    assert (await statuses(process, member))[second.job_id] == job_pb2.JOB_STATUS_RUNNING
    assert await process.renew(second.token) == []
    # What needs no results goes on.
    assert await process.finish((await lease_of(process)).token, failure="No.")
    folder.unlink()
    away.rename(folder)
    assert await read() == b'{"a": 1}'
    assert await process.finish(second.token, result=b'{"b": 2}')
    await batch_side.until(lambda s: s.progress[added.batch.id].job_counts.done == 2)


async def lease_of(process) -> pb.JobLease:
    await process.add(1)
    (lease,) = await process.lease()
    return lease


@pytest.fixture
def small_files() -> Iterator[None]:
    """Lets no file grow beyond 8 MiB: writing fails in the middle, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8 * 1024 * 1024, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("small_files")
async def test_a_result_that_does_not_fit_is_told_and_leaves_nothing(process, member) -> None:
    await process.add(2)
    large, small = await process.lease(2)
    code, details = await refusal(process.finish(large.token, result=b" " * 9 * 1024 * 1024))
    assert code is grpc.StatusCode.UNAVAILABLE
    assert details == "the result store is not available at present"
    assert [path for path in process.settings.results_dir.rglob("*") if path.is_file()] == []
    assert await process.finish(small.token, result=b"{}")
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert await process.finish(large.token, result=b" " * 9 * 1024 * 1024)


async def test_a_forgotten_batch_whose_results_cannot_be_removed(process) -> None:
    added = await process.add(1)
    (lease,) = await process.lease()
    await process.finish(lease.token, result=b"{}")
    folder = process.settings.results_dir
    shutil.move(folder, folder.with_name("away"))
    request = queue_pb.ForgetBatchesRequest(batch_ids=[added.batch.id])
    answer = await process.queue.ForgetBatches(request)
    # The rows are gone, so the batch is; the sweep removes the results when the store is back.
    assert (answer.deleted_jobs, answer.deleted_results) == (1, 0)
    assert list(answer.forgotten_batch_ids) == [added.batch.id]
