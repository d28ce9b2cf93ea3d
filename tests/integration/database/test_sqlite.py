import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import Column, Connection, Integer, MetaData, Table, func, insert, select

from tweezer.database import sqlite
from tweezer.database.sqlite import SqliteDatabase, create_sqlite_engine

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
    monkeypatch.setattr(sqlite, "monotonic", lambda: next(clock))
    assert await database.write(patience) == 10_000
    assert await database.write(patience) == 6_500
    assert await database.write(patience) == 500
    with pytest.raises(ZeroDivisionError):
        await database.write(fail)
    assert await database.write(patience) == 10_000
