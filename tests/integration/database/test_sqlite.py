import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path

import pytest
from sqlalchemy import Column, Connection, Integer, MetaData, Table, func, insert, select
from sqlalchemy.exc import IntegrityError

from tweezer.database import sqlite_writer
from tweezer.database.sqlite import SqliteDatabase, create_sqlite_engine
from tweezer.database.trouble import DatabaseUnavailable

METADATA = MetaData()
NUMBER = Table("number", METADATA, Column("value", Integer, primary_key=True))


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    path = tmp_path / "folder" / "test.db"
    engine = create_sqlite_engine(path)
    METADATA.create_all(engine)
    engine.dispose()
    database = SqliteDatabase(path)
    yield database
    await database.close()


def _count(connection: Connection) -> int:
    return connection.execute(select(func.count()).select_from(NUMBER)).scalar_one()


def _add(value: int) -> object:
    return lambda connection: connection.execute(insert(NUMBER).values(value=value))


async def test_a_read_sees_what_was_written_before(database: SqliteDatabase) -> None:
    for value in range(3):
        await database.write(_add(value))
        assert await database.read(_count) == value + 1
        assert await database.scan(_count) == value + 1


async def test_a_change_that_raises_leaves_nothing(database: SqliteDatabase) -> None:
    def change(connection: Connection) -> None:
        connection.execute(insert(NUMBER).values(value=1))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await database.write(change)
    assert await database.read(_count) == 0
    await database.write(_add(1))
    assert await database.read(_count) == 1


async def test_writers_of_two_processes_wait_for_each_other(
    database: SqliteDatabase, tmp_path: Path
) -> None:
    other = SqliteDatabase(tmp_path / "folder" / "test.db")
    holds, let_go = threading.Event(), threading.Event()

    def slow(connection: Connection) -> None:
        connection.execute(insert(NUMBER).values(value=1))
        holds.set()
        assert let_go.wait(20)

    first = asyncio.create_task(database.write(slow))
    await asyncio.to_thread(holds.wait, 20)
    second = asyncio.create_task(other.write(_add(2)))
    # A reader is not held up by the writer and does not see what is not committed.
    assert await other.read(_count) == 0
    let_go.set()
    await first
    await second
    assert await database.read(_count) == 2
    await other.close()


async def test_the_log_is_written_ahead(database: SqliteDatabase) -> None:
    mode = await database.read(lambda c: c.exec_driver_sql("PRAGMA journal_mode").scalar_one())
    assert mode == "wal"


async def test_a_wait_in_line_counts_as_a_wait_for_the_lock(
    database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    def patience(connection: Connection) -> object:
        return connection.exec_driver_sql("PRAGMA busy_timeout").scalar_one()

    def fail(connection: Connection) -> object:
        raise ZeroDivisionError

    clock = iter([0.0, 0.1, 10.0, 13.5, 20.0, 40.0, 50.0, 54.0, 60.0, 60.0])
    monkeypatch.setattr(sqlite_writer, "monotonic", lambda: next(clock))
    assert await database.write(patience) == 10_000
    assert await database.write(patience) == 6_500
    assert await database.write(patience) == 500
    with pytest.raises(ZeroDivisionError):
        await database.write(fail)
    assert await database.write(patience) == 10_000


class Held:
    """Keeps the writer busy, so that what comes meanwhile waits."""

    def __init__(self, database: SqliteDatabase) -> None:
        self._database = database
        self._holds, self._go = threading.Event(), threading.Event()

    async def __aenter__(self) -> None:
        def hold(connection: Connection) -> None:
            self._holds.set()
            assert self._go.wait(20)

        self._first = asyncio.create_task(self._database.write(hold))
        await asyncio.to_thread(self._holds.wait, 20)

    async def __aexit__(self, *_: object) -> None:
        self._go.set()
        await self._first


async def begun(*changes: Coroutine[None, None, object]) -> list[asyncio.Task[object]]:
    tasks = [asyncio.create_task(change) for change in changes]
    await asyncio.sleep(0)  # each hands in its change
    return tasks


async def test_changes_that_wait_are_committed_together(database: SqliteDatabase) -> None:
    def transaction(connection: Connection) -> object:
        return connection.get_transaction()

    async with Held(database):
        tasks = await begun(*(database.write(transaction) for _ in range(40)))
    transactions = await asyncio.gather(*tasks)
    assert len(set(transactions[:32])) == 1
    assert len(set(transactions)) == 2


async def test_one_that_raises_takes_nothing_from_the_others(database: SqliteDatabase) -> None:
    def change(connection: Connection) -> None:
        connection.execute(insert(NUMBER).values(value=7))
        connection.execute(insert(NUMBER).values(value=1))  # which is there

    async with Held(database):
        tasks = await begun(
            database.write(_add(1)), database.write(change), database.write(_add(2))
        )
    first, second, third = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(second, IntegrityError)
    assert not isinstance(first, Exception)
    assert not isinstance(third, Exception)
    found = await database.read(lambda c: c.execute(select(NUMBER.c.value)).scalars().all())
    assert found == [1, 2]


async def test_of_a_transaction_that_the_database_gives_up_nothing_is_left(
    database: SqliteDatabase,
) -> None:
    def fill(connection: Connection) -> None:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        connection.exec_driver_sql("CREATE TABLE more AS SELECT zeroblob(1000000) AS bytes")

    async with Held(database):
        tasks = await begun(database.write(_add(1)), database.write(fill), database.write(_add(2)))
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(outcome, DatabaseUnavailable) for outcome in outcomes)
    assert await database.read(_count) == 0
    await database.write(_add(3))  # on a connection that knows no limit
    assert await database.read(_count) == 1


async def test_a_change_whose_caller_has_gone_away_is_not_begun(database: SqliteDatabase) -> None:
    async with Held(database):
        gone, stays = await begun(database.write(_add(1)), database.write(_add(2)))
        gone.cancel()
        await asyncio.wait([gone])
    await stays
    found = await database.read(lambda c: c.execute(select(NUMBER.c.value)).scalars().all())
    assert found == [2]
