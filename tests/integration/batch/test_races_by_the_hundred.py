"""The same races again and again, between processes that share the database of the batches."""

import asyncio
import random
import uuid

import pytest

from tweezer.batch.checks.admitted import CheckedJob
from tweezer.batch.identifiers import new_addition_id, new_batch_id
from tweezer.batch.limits import Limits
from tweezer.batch.new_batch import NewBatch
from tweezer.batch.new_jobs import NewJobs
from tweezer.batch.service import MIGRATIONS, prepare
from tweezer.batch.settings import BatchSettings
from tweezer.batch.store import additions, create, decisions, intents, progress
from tweezer.batch.store.progress import Report
from tweezer.batch.store.rows import BatchRow
from tweezer.database.opening import open_database
from tweezer.database.url import sqlite_url
from tweezer.rpc.errors import NotAllowedNow, Unavailable

pytestmark = pytest.mark.slow

ROUNDS = 100
NOW = 3_000
PROJECT = "11111111-1111-4111-8111-111111111111"
LIMITS = Limits(10_000, 10**9, 10**9)
JOB = CheckedJob(10, None, None)


@pytest.fixture
async def two(tmp_path, new_database):
    """The databases of two processes."""
    url = new_database(tmp_path / "batch.db", MIGRATIONS)
    if url == sqlite_url(tmp_path / "batch.db"):
        prepare(BatchSettings(data_dir=tmp_path))
    databases = open_database(url, 4), open_database(url, 4)
    yield databases
    for database in databases:
        await database.close()


async def at_once(*works):
    """Starts all, in a random order, and returns what each returned or raised of ours."""
    order = list(range(len(works)))
    random.shuffle(order)
    tasks = {index: asyncio.ensure_future(works[index]) for index in order}
    results = [
        (await asyncio.gather(tasks[i], return_exceptions=True))[0] for i in range(len(works))
    ]
    for result in results:
        if isinstance(result, BaseException) and not isinstance(
            result, NotAllowedNow | Unavailable
        ):
            raise result
    return results


def new_batch(jobs=1):
    row = BatchRow(
        id=new_batch_id(),
        parent_id=None,
        status="PENDING",
        open=True,
        device_type="EMU_FREE",
        user_id=str(uuid.uuid4()),
        project_id=PROJECT,
        created_at=NOW,
        updated_at=NOW,
        start_at=None,
        end_at=None,
        jobs_count=jobs,
        running=0,
        canceling=0,
        done=0,
        error=0,
        canceled=0,
        tags="[]",
        configuration_json=None,
        backend_configuration=None,
        webhook=None,
        queue_priority="MEDIUM",
        program_hash=None,
        origin="CLIENT",
    )
    return NewBatch(NewJobs(row, False, new_addition_id(), 0, [JOB] * jobs, NOW), [], None)


async def stored(database, jobs=1):
    new = new_batch(jobs)
    await database.write(lambda c: create.create_batch(c, new, LIMITS))
    return new.batch


async def add(database, batch, jobs=2, addition_id=None):
    """Adds jobs as the service does: orders first, then the jobs."""
    first = await database.write(lambda c: additions.reserve_orders(c, batch.id, jobs, NOW))
    new = NewJobs(batch, False, addition_id or new_addition_id(), first, [JOB] * jobs, NOW)
    await database.write(lambda c: additions.commit_addition(c, new, {}, LIMITS))
    return new


def close(database, batch):
    return database.write(lambda c: decisions.close_batch(c, batch.id, NOW))


def cancel(database, batch):
    return database.write(lambda c: decisions.cancel_batch(c, batch.id, NOW))


def told(database, reports):
    return database.write(lambda c: progress.apply_reports(c, reports, NOW))


def report(batch, version, **counts):
    none = dict.fromkeys(("running", "canceling", "done", "error", "canceled"), 0)
    return Report(batch.id, version, **{**none, **counts}, start_at=NOW, end_at=NOW)


def row(database, batch):
    columns = "open, status, jobs_count, intent_version, progress_version, done, running, canceled"
    statement = f"SELECT {columns} FROM batch WHERE id = '{batch.id}'"
    return database.read(lambda c: c.exec_driver_sql(statement).mappings().one())


async def unfinished(database):
    statement = "SELECT sum(unfinished_jobs) FROM project_load"
    return await database.read(lambda c: c.exec_driver_sql(statement).scalar_one())


async def spans(database, batch):
    return await database.read(lambda c: additions.spans_of(c, batch.id))


async def test_additions_against_closing(two):
    """Those that were taken are all there and told, and none is taken after the end."""
    one, other = two
    taken = refused = total = 0
    for _ in range(ROUNDS):
        batch = await stored(one)
        *added, closed = await at_once(
            add(one, batch), add(other, batch), add(other, batch, 3), close(one, batch)
        )
        assert closed is None
        with pytest.raises(NotAllowedNow):
            await add(other, batch)
        done = [new for new in added if isinstance(new, NewJobs)]
        taken, refused = taken + len(done), refused + 3 - len(done)
        after = await row(other, batch)
        assert not after["open"]
        assert after["jobs_count"] == 1 + sum(len(new.jobs) for new in done)
        assert after["intent_version"] == 1 + len(done) + 1
        kept = await spans(one, batch)
        orders = [o for span in kept for o in range(span.first_order, sum(span))]
        assert len(orders) == len(set(orders)) == after["jobs_count"]
        total += after["jobs_count"]
    assert await unfinished(one) == total
    assert taken + refused == 3 * ROUNDS


async def test_additions_against_cancelling(two):
    one, other = two
    for _ in range(ROUNDS):
        batch = await stored(one)
        added, cancelled = await at_once(add(one, batch), cancel(other, batch))
        assert cancelled is None
        after = await row(one, batch)
        assert after["jobs_count"] == (3 if isinstance(added, NewJobs) else 1)
        (intent,) = await one.read(lambda c, b=batch: intents.pending_intents_of(c, [b.id]))
        assert intent.cancelled
        assert not intent.open
        assert len(intent.released_addition_ids) == (2 if isinstance(added, NewJobs) else 1)


async def test_commits_against_giving_up(two):
    """JobService asks about an addition that is being committed: both are told the same."""
    one, other = two
    for _ in range(ROUNDS):
        batch, addition_id = await stored(one), new_addition_id()
        added, unknown = await at_once(
            add(one, batch, addition_id=addition_id),
            other.write(lambda c, a=addition_id: additions.give_up_uncommitted(c, [a], NOW)),
        )
        assert isinstance(added, NewJobs) == (unknown == [])
        assert len(await spans(one, batch)) == (2 if unknown == [] else 1)


async def test_closing_against_closing(two):
    one, other = two
    for _ in range(ROUNDS):
        batch = await stored(one)
        results = await at_once(close(one, batch), close(other, batch))
        assert sum(result is None for result in results) == 1
        assert (await row(one, batch))["intent_version"] == 2


async def test_reports_against_reports(two):
    """Whatever order they come in, and however they overlap: the newest of each batch counts."""
    one, other = two
    batches = [await stored(one, 10) for _ in range(5)]
    for done in range(0, ROUNDS, 10):
        parts = []
        for version in range(done + 1, done + 11):
            reports = [report(batch, version, done=version // 10) for batch in batches]
            random.shuffle(reports)
            parts.append(told(random.choice(two), reports))
        applied = await at_once(*parts)
        assert all(each.unknown_batch_ids == [] for each in applied)
        for batch in batches:
            after = await row(other, batch)
            assert (after["progress_version"], after["done"]) == (done + 10, done // 10 + 1)
    assert await unfinished(one) == 0


async def test_reports_against_additions_and_closing(two):
    """The load of the project is what the batches say, whoever was first."""
    one, other = two
    for _ in range(ROUNDS):
        batch = await stored(one)
        added, _, _ = await at_once(
            add(one, batch),
            told(other, [report(batch, 1, done=1)]),
            close(random.choice(two), batch),
        )
        after = await row(one, batch)
        if isinstance(added, NewJobs):
            assert (after["jobs_count"], after["status"]) == (3, "RUNNING")
            await told(other, [report(batch, 2, done=3)])
        after = await row(one, batch)
        assert after["status"] == "DONE"
        assert after["done"] == after["jobs_count"]
    assert await unfinished(one) == 0


async def test_acknowledgements_against_changes_of_mind(two):
    """What JobService has acknowledged is never more than what it was told."""
    one, other = two

    def carry(database):
        async def go():
            waiting = await database.read(lambda c: intents.pending_intents(c, 100))
            if waiting:
                await database.write(lambda c: intents.acknowledge(c, waiting))
            return waiting

        return go()

    for _ in range(ROUNDS):
        batch = await stored(one)
        waiting, _, _ = await at_once(carry(one), add(other, batch), close(one, batch))
        versions = [intent.version for intent in waiting if intent.batch_id == batch.id]
        left = await one.read(lambda c, b=batch: intents.pending_intents_of(c, [b.id]))
        newest = (await row(one, batch))["intent_version"]
        assert [intent.version for intent in left] == ([] if versions == [newest] else [newest])
        await carry(other)
        assert await one.read(lambda c: intents.pending_intents(c, 1)) == []
