"""The same races again and again, between processes that share a database."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tweezer.database.database import Database
from tweezer.database.opening import open_database
from tweezer.database.timestamps import now_micros
from tweezer.job.outcomes import Outcome
from tweezer.job.store import additions, endings, enqueue, forgetting, intents, leases, progress
from tweezer.job.store.endings import Ended, Ending
from tweezer.job.store.enqueue import Addition, BatchClosed
from tweezer.job.store.intents import Intent
from tweezer.rpc.errors import Unavailable

pytestmark = pytest.mark.slow

ROUNDS = 100
FUTURE = 10**15
NOW = 3_000


@pytest.fixture
async def two(tables, database) -> AsyncIterator[tuple[Database, Database]]:
    """The databases of two processes."""
    async with AsyncExitStack() as stack:
        other = open_database(tables.url, 4)
        stack.push_async_callback(other.close)
        yield database, other


async def at_once(*works: Callable[[], Awaitable[Any]]) -> list[Any]:
    """Starts all, in a random order, and returns what each returned."""
    order = list(range(len(works)))
    random.shuffle(order)
    tasks = {index: asyncio.ensure_future(works[index]()) for index in order}
    return [await tasks[index] for index in range(len(works))]


def take(database: Database, jobs: int = 1) -> Awaitable[list[str]]:
    def work(connection) -> list[str]:
        batches = leases.take(connection, ["EMU_FREE"], jobs, FUTURE, NOW)
        return [lease.token for batch in batches for lease in batch.leases]

    return database.write(work)


def end(database: Database, token: str, outcome: Outcome = Outcome.RESULT) -> Awaitable[Ended]:
    key = f"key-{token}" if outcome is Outcome.RESULT else None
    ending = Ending(token, outcome, reason="No.", result_key=key)
    return database.write(lambda c: endings.end(c, [ending], 3, NOW))


def apply(database: Database, batch_id: str, version: int, *named: str, **wish: bool):
    wanted = {"cancelled": False, "paused": False, **wish}
    intent = Intent(batch_id, version, named, **wanted)
    return database.write(lambda c: intents.apply(c, [intent], NOW))


async def is_stored(database: Database, addition: Addition, refusal: type[Exception]) -> bool:
    """Stores an addition; says whether that was not refused."""
    try:
        await database.write(lambda c: enqueue.store(c, addition, now_micros))
    except refusal:
        return False
    return True


def counted(tables) -> list[Counter[str]]:
    """Returns the counts of every batch; they are those of its jobs."""
    jobs: dict[str, Counter[str]] = {}
    for row in tables.rows("SELECT batch_id, status FROM job"):
        jobs.setdefault(row["batch_id"], Counter())[row["status"]] += 1
    counts = []
    for row in tables.rows("SELECT * FROM queued_batch ORDER BY seq"):
        statuses = ("PENDING", "RUNNING", "CANCELING", "DONE", "ERROR", "CANCELED")
        kept = Counter({status: row[status.lower()] for status in statuses})
        assert +kept == jobs.pop(row["id"], Counter())
        assert row["acknowledged_version"] <= row["progress_version"]
        counts.append(+kept)
    assert jobs == {}
    return counts


async def test_leases_against_leases(tables, two) -> None:
    for _ in range(ROUNDS):
        tables.add(3)
        shares = await at_once(*(lambda d=d: take(d, 2) for d in two for _ in range(2)))
        tokens = [token for share in shares for token in share] + await take(two[0], 9)
        assert len(tokens) == len(set(tokens)) == 3
        await at_once(*(lambda d=d, t=t: end(d, t) for t in tokens for d in two))
    assert {row["attempt"] for row in tables.rows("SELECT attempt FROM job")} == {1}
    assert counted(tables) == [{"DONE": 3}] * ROUNDS


async def test_completions_against_cancellations(tables, two) -> None:
    one, other = two
    for _ in range(ROUNDS):
        addition = tables.add(2)
        token, _ = await take(one, 2)
        ended, cancelled = await at_once(
            lambda token=token: end(one, token),
            lambda batch=addition.batch.id: apply(other, batch, 2, cancelled=True),
        )
        assert ended.refused == []
        late = [f"key-{token}"] if token in cancelled.stopping else []
        assert ended.ownerless == late
    for counts in counted(tables):
        assert counts.pop("CANCELING") == 1  # nobody ended the lease of the other job
        assert counts in ({"DONE": 1}, {"CANCELED": 1})


async def test_expiries_against_completions(tables, two) -> None:
    one, other = two
    lost = 0
    for _ in range(ROUNDS):
        tables.add(1)
        (token,) = await take(one)
        ended, expired = await at_once(
            lambda token=token: end(one, token),
            lambda: other.write(lambda c: endings.expire(c, 3, FUTURE + 1)),
        )
        assert (ended.refused == [token]) == bool(expired.jobs)
        if expired.jobs:
            lost += 1
            assert ended.ownerless == [f"key-{token}"]
            (again,) = await take(other)
            assert (await end(other, again)).refused == []
            assert (await end(one, token)).refused == [token]  # and later still
    assert counted(tables) == [{"DONE": 1}] * ROUNDS
    assert sum(row["attempt"] - 1 for row in tables.rows("SELECT attempt FROM job")) == lost


async def test_expiries_against_renewals(tables, two) -> None:
    one, other = two
    for _ in range(ROUNDS):
        tables.add(1)
        (token,) = await take(one)
        renewal = leases.Renewal(token, 50)
        stop, expired = await at_once(
            lambda r=renewal: one.write(lambda c: leases.renew(c, [r], 2 * FUTURE, NOW)),
            lambda: other.write(lambda c: endings.expire(c, 3, FUTURE + 1)),
        )
        assert (stop == [token]) == bool(expired.jobs)
        for mine in [token] if not expired.jobs else await take(one):
            assert (await end(one, mine)).refused == []
    assert counted(tables) == [{"DONE": 1}] * ROUNDS


ENDS = [{"cancelled": True}, {"cancelled": False}]


async def test_additions_against_pauses(tables, two) -> None:
    """Jobs are added while the batch is paused: the newest intent holds."""
    one, other = two
    for _ in range(ROUNDS):
        first = tables.add(1)
        batch_id = first.batch.id
        second = tables.addition(2, batch_id=batch_id, first_order=1)
        both = (first.id, second.id)
        await at_once(
            lambda s=second: one.write(lambda c: enqueue.store(c, s, now_micros)),
            lambda b=batch_id: apply(other, b, 2, paused=True, open=True),
        )
        await at_once(
            lambda b=batch_id, n=both: apply(one, b, 3, *n, paused=True, open=True),
            lambda s=second: other.write(lambda c: enqueue.store(c, s, now_micros)),
            lambda b=batch_id: apply(other, b, 2, paused=True, open=True),
        )
    assert counted(tables) == [{"PENDING": 3}] * ROUNDS
    assert await take(one, 10 * ROUNDS) == []


@pytest.mark.parametrize("wish", ENDS)
async def test_additions_in_time_against_the_end_of_their_batch(tables, two, wish) -> None:
    """What was committed before the batch was closed is kept, in whatever order it is told."""
    one, other = two
    for _ in range(ROUNDS):
        first = tables.add(1)
        batch_id = first.batch.id
        second = tables.enqueue(tables.addition(2, batch_id=batch_id, first_order=1))
        both = (first.id, second.id)
        await at_once(
            lambda b=batch_id, n=both: apply(one, b, 2, *n, open=True),
            lambda s=second: other.write(lambda c: enqueue.store(c, s, now_micros)),
            lambda b=batch_id, n=both: apply(other, b, 3, *n, **wish),
        )
    finished = {"CANCELED": 3} if wish["cancelled"] else {"PENDING": 3}
    assert counted(tables) == [finished] * ROUNDS
    assert len(await take(one, 10 * ROUNDS)) == (0 if wish["cancelled"] else 3 * ROUNDS)


@pytest.mark.parametrize("wish", ENDS)
async def test_additions_too_late_against_the_end_of_their_batch(tables, two, wish) -> None:
    """What the intent that closes a batch does not name is refused, or asked about at once."""
    one, other = two

    for _ in range(ROUNDS):
        first = tables.add(1)
        late = tables.addition(2, batch_id=first.batch.id, first_order=1, check_at=FUTURE)
        stored, applied = await at_once(
            lambda a=late: is_stored(one, a, BatchClosed),
            lambda b=first.batch.id, n=first.id: apply(other, b, 2, n, **wish),
        )
        assert applied.in_doubt == stored
        due = tables(lambda c: additions.due(c, NOW))
        assert due == ([late.id] if stored else [])
        tables(lambda c, due=due: additions.drop(c, due))
    finished = {"CANCELED": 1} if wish["cancelled"] else {"PENDING": 1}
    assert counted(tables) == [finished] * ROUNDS


async def test_additions_against_drops(tables, two) -> None:
    """The batch goes with its last addition while another comes in: that is stored, or refused."""
    one, other = two

    kept = 0
    for _ in range(ROUNDS):
        orphan = tables.enqueue(tables.addition(1))
        late = tables.addition(2, batch_id=orphan.batch.id, first_order=1)
        stored, dropped = await at_once(
            lambda a=late: is_stored(one, a, Unavailable),
            lambda a=orphan.id: other.write(lambda c: additions.drop(c, [a])),
        )
        assert dropped == 1
        kept += stored
    assert counted(tables) == [{"PENDING": 2}] * kept


async def test_drops_against_releases(tables, two) -> None:
    """Held for so long that it is given up, when the intent that releases it comes after all."""
    one, other = two
    for _ in range(ROUNDS):
        addition = tables.enqueue(tables.addition(2))
        batch_id = addition.batch.id
        dropped, applied = await at_once(
            lambda a=addition.id: one.write(lambda c: additions.drop(c, [a])),
            lambda b=batch_id, a=addition.id: apply(other, b, 1, a),
        )
        assert (dropped, applied.missing_additions) in ((2, [addition.id]), (0, []))
        assert len(await take(one, 5)) == 2 - dropped
    counted(tables)


async def test_reports_against_reports(tables, two) -> None:
    """Whoever reports, and whatever happens meanwhile: the newest progress gets through."""
    for _ in range(ROUNDS // 10):
        tables.add(5)
    told: dict[str, int] = {}
    working = True

    async def work(database: Database) -> None:
        while tokens := await take(database, 3):
            for token in tokens:
                await end(database, token)

    async def report(database: Database) -> None:
        while working or await database.read(lambda c: progress.unreported(c, 0, 1)):
            news = await database.read(lambda c: progress.unreported(c, 0, 500))
            for each in news:
                told[each.batch_id] = max(each.version, told.get(each.batch_id, 0))
            if not news:
                await asyncio.sleep(0)
                continue
            versions = {each.batch_id: each.version for each in news}
            await database.write(lambda c, v=versions: progress.acknowledge(c, v))

    reports = [asyncio.create_task(report(database)) for database in two]
    await at_once(*(lambda d=d: work(d) for d in two))
    working = False
    await asyncio.gather(*reports)
    assert counted(tables) == [{"DONE": 5}] * (ROUNDS // 10)
    rows = tables.rows("SELECT id, progress_version, acknowledged_version FROM queued_batch")
    assert told == {row["id"]: row["progress_version"] for row in rows}
    assert all(row["progress_version"] == row["acknowledged_version"] for row in rows)


async def test_forgetting_against_the_last_completion(tables, two) -> None:
    one, other = two
    for _ in range(ROUNDS):
        addition = tables.add(1)
        (token,) = await take(one)
        ended, forgotten = await at_once(
            lambda token=token: end(one, token),
            lambda b=addition.batch.id: other.write(lambda c: forgetting.forget(c, b)),
        )
        assert ended.refused == []
        assert forgotten.jobs == (1 if forgotten.gone else 0)
    assert all(counts == {"DONE": 1} for counts in counted(tables))
