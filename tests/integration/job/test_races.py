"""Many at once, on real files and real threads: the database decides, once."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest

from tweezer.database.database import Database
from tweezer.database.opening import open_database
from tweezer.database.timestamps import now_micros
from tweezer.internal.v1 import lease_service_pb2 as pb
from tweezer.job.leasing import LeaseRequest, Leasing
from tweezer.job.outcomes import Outcome
from tweezer.job.results import ResultStore
from tweezer.job.signals import Signals
from tweezer.job.store import endings, leases
from tweezer.job.store.endings import Ending
from tweezer.job.store.intents import Intent, apply

FUTURE = 10**15


@pytest.fixture
async def processes(tables) -> AsyncIterator[list[Database]]:
    """Several databases on the same tables, as several processes have them."""
    async with AsyncExitStack() as stack:
        opened = [open_database(tables.url, 4) for _ in range(4)]
        for database in opened:
            stack.push_async_callback(database.close)
        yield opened


def take(database: Database, jobs: int = 1, now: int = 2_000) -> Awaitable[list[str]]:
    def work(connection) -> list[str]:
        batches = leases.take(connection, ["EMU_FREE"], jobs, FUTURE, now)
        return [lease.token for batch in batches for lease in batch.leases]

    return database.write(work)


def end(database: Database, token: str, outcome: Outcome) -> Awaitable[endings.Ended]:
    key = f"key-{token}" if outcome is Outcome.RESULT else None
    ending = Ending(token, outcome, reason="It failed.", result_key=key)
    return database.write(lambda c: endings.end(c, [ending], 3, 3_000))


def only_job(tables) -> dict:
    (job,) = tables.rows("SELECT * FROM job")
    return job


async def test_each_job_is_leased_once_between_processes(tables, processes) -> None:
    tables.add(60)
    tables.add(60)

    async def work(database: Database) -> list[str]:
        mine: list[str] = []
        while tokens := await take(database, 7):
            mine += tokens
        return mine

    shares = await asyncio.gather(*(work(database) for database in processes for _ in range(2)))
    tokens = [token for share in shares for token in share]
    assert len(tokens) == len(set(tokens)) == 120
    assert {row["attempt"] for row in tables.rows("SELECT attempt FROM job")} == {1}


async def test_each_job_is_leased_once_between_callers_of_a_service(process) -> None:
    added = [await process.add(50) for _ in range(3)]

    async def work() -> list[str]:
        mine: list[str] = []
        while leased := await process.lease(4):
            mine += [lease.job_id for lease in leased]
        return mine

    shares = await asyncio.gather(*(work() for _ in range(16)))
    got = Counter(job_id for share in shares for job_id in share)
    assert got == Counter(job.id for request in added for job in request.jobs)


@pytest.mark.parametrize("round_", range(10))
async def test_a_completion_against_a_cancellation(tables, processes, round_: int) -> None:
    addition = tables.add(1)
    (token,) = await take(processes[0])
    cancel = Intent(addition.batch.id, 2, (), cancelled=True, paused=False)
    await in_any_order(
        lambda: end(processes[0], token, Outcome.RESULT),
        lambda: processes[1].write(lambda c: apply(c, [cancel], 3_000)),
    )
    job = only_job(tables)
    assert job["status"] in ("DONE", "CANCELED")
    assert job["lease_token"] is None
    (counts,) = tables.rows("SELECT pending, running, canceling, done, canceled FROM queued_batch")
    assert counts.pop(job["status"].lower()) == 1
    assert set(counts.values()) == {0}


@pytest.mark.parametrize("round_", range(10))
async def test_an_expiry_against_a_completion(tables, processes, round_: int) -> None:
    tables.add(1)
    (token,) = await take(processes[0])
    ended, expired = await in_any_order(
        lambda: end(processes[0], token, Outcome.RESULT),
        lambda: processes[1].write(lambda c: endings.expire(c, 3, FUTURE + 1)),
    )
    job = only_job(tables)
    if expired.jobs:
        assert job["status"] == "PENDING"
        assert ended.refused == [token]
        assert ended.ownerless == [f"key-{token}"]
    else:
        assert job["status"] == "DONE"
        assert ended.refused == ended.ownerless == []


@pytest.mark.parametrize("round_", range(5))
async def test_a_double_completion_is_one(tables, processes, round_: int) -> None:
    tables.add(1)
    (token,) = await take(processes[0])
    ended = await in_any_order(
        *(lambda database=database: end(database, token, Outcome.RESULT) for database in processes)
    )
    assert [each.refused for each in ended] == [[]] * len(processes)
    assert [each.ownerless for each in ended] == [[]] * len(processes)
    assert sum(bool(each.jobs) for each in ended) == 1
    (batch,) = tables.rows("SELECT running, done, progress_version FROM queued_batch")
    assert batch == {"running": 0, "done": 1, "progress_version": 2}


@pytest.mark.parametrize("round_", range(5))
async def test_of_different_outcomes_one_is_accepted(tables, processes, round_: int) -> None:
    tables.add(1)
    (token,) = await take(processes[0])
    outcomes = [Outcome.RESULT, Outcome.FAILURE, Outcome.RELEASED, Outcome.LOST]
    ended = await in_any_order(
        *(
            lambda database=database, outcome=outcome: end(database, token, outcome)
            for database, outcome in zip(processes, outcomes, strict=True)
        )
    )
    assert sorted(each.refused for each in ended) == [[], [token], [token], [token]]
    key = f"key-{token}"
    kept = only_job(tables)["result_key"]
    ownerless = [one for each in ended for one in each.ownerless]
    assert ([key], []) == ([kept], ownerless) or (None, [key]) == (kept, ownerless)


async def in_any_order(*works: Callable[[], Awaitable]) -> list:
    """Starts all at once, in a random order, and returns what each returned."""
    order = list(range(len(works)))
    random.shuffle(order)
    tasks = {index: asyncio.ensure_future(works[index]()) for index in order}
    return [await tasks[index] for index in range(len(works))]


async def test_double_completions_through_the_service_keep_the_result(process) -> None:
    await process.add(20)
    held = await process.lease(20)
    accepted = await asyncio.gather(
        *(process.finish(lease.token, result=b'{"a": 1}') for lease in held for _ in range(3))
    )
    assert all(accepted)
    files = [path for path in process.settings.results_dir.rglob("*") if path.is_file()]
    keys = [key for (key,) in process.rows("SELECT result_key FROM job")]
    assert sorted(str(f.relative_to(process.settings.results_dir)) for f in files) == sorted(keys)


async def test_completions_against_cancellation_through_the_service(process, batch_side) -> None:
    added = await process.add(30)
    held = await process.lease(30)
    ends = [process.finish(lease.token, result=b"{}") for lease in held]
    cancel = process.intend(added.batch.id, 2, cancelled=True)
    works = [asyncio.ensure_future(work) for work in (*ends[:15], cancel, *ends[15:])]
    await asyncio.gather(*works)
    rows = process.rows("SELECT status, result_key FROM job")
    assert {status for status, _ in rows} <= {"DONE", "CANCELED"}
    files = [path for path in process.settings.results_dir.rglob("*") if path.is_file()]
    assert len(files) == sum(status == "DONE" for status, _ in rows)
    await batch_side.until(
        lambda s: (
            (counts := s.progress[added.batch.id].job_counts).done + counts.canceled == 30
            and counts.done == len(files)
        )
    )


async def test_a_caller_that_goes_away_during_the_lease_loses_no_attempt(tables, tmp_path) -> None:
    """The jobs were taken, but nobody was there to get them."""

    class Gated:
        """Holds a write back until the test says so."""

        gate = asyncio.Event()
        reached = asyncio.Event()

        async def write(self, change):
            self.reached.set()
            await self.gate.wait()
            return await opened.write(change)

    tables.add(1)
    opened, database = open_database(tables.url, 4), Gated()
    results = ResultStore.in_folder(tmp_path / "results")
    leasing = Leasing(database, results, Signals(now_micros), now_micros, 3)
    request = LeaseRequest("w", ["EMU_FREE"], 1, 60_000_000)
    caller = asyncio.create_task(leasing.lease(request, 0))
    await database.reached.wait()
    caller.cancel()
    await asyncio.sleep(0)
    database.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await caller
    job = only_job(tables)
    assert (job["status"], job["attempt"], job["ended_outcome"]) == ("PENDING", 0, "released")
    await opened.close()


async def test_stop_tokens_reach_many_workers_at_once(process) -> None:
    added = await process.add(40)
    held = await process.lease(40)
    await process.intend(added.batch.id, 2, cancelled=True)
    stopped = await asyncio.gather(*(process.renew(lease.token) for lease in held))
    assert stopped == [[lease.token] for lease in held]
    assert all(
        await asyncio.gather(*(process.finish(lease.token, stopped=pb.Stopped()) for lease in held))
    )
