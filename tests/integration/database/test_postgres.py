"""What the stores may rely on with PostgreSQL: on a real server."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator

import pytest
from sqlalchemy import (
    URL,
    Column,
    Connection,
    Integer,
    MetaData,
    Table,
    func,
    insert,
    select,
    text,
    update,
)

from tweezer.database.bell import Hearing, ring, ring_for
from tweezer.database.opening import create_engine_of
from tweezer.database.postgres import PostgresDatabase
from tweezer.database.trouble import DatabaseUnavailable

METADATA = MetaData()
NUMBER = Table(
    "number",
    METADATA,
    Column("value", Integer, primary_key=True),
    Column("times", Integer, nullable=False, default=0),
)


@pytest.fixture
def url(postgres_server) -> Iterator[URL]:
    url = postgres_server.empty()
    engine = create_engine_of(url)
    METADATA.create_all(engine)
    engine.dispose()
    yield url
    postgres_server.drop(url)


@pytest.fixture
async def database(url: URL) -> AsyncIterator[PostgresDatabase]:
    database = PostgresDatabase(url, 4)
    yield database
    await database.close()


def _count(connection: Connection) -> int:
    return connection.execute(select(func.count()).select_from(NUMBER)).scalar_one()


def _add(value: int) -> object:
    return lambda connection: connection.execute(insert(NUMBER).values(value=value))


def _touch(connection: Connection, value: int) -> None:
    connection.execute(
        update(NUMBER).where(NUMBER.c.value == value).values(times=NUMBER.c.times + 1)
    )


async def test_a_read_sees_what_was_written_before(database: PostgresDatabase) -> None:
    for value in range(3):
        await database.write(_add(value))
        assert await database.read(_count) == value + 1
        assert await database.scan(_count) == value + 1


async def test_a_change_that_raises_leaves_nothing(database: PostgresDatabase) -> None:
    def change(connection: Connection) -> None:
        connection.execute(insert(NUMBER).values(value=1))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await database.write(change)
    assert await database.read(_count) == 0


async def test_of_two_who_need_each_others_rows_one_begins_again(
    database: PostgresDatabase,
) -> None:
    for value in (1, 2):
        await database.write(_add(value))
    both_hold, runs = threading.Barrier(2), []

    def change(first: int, second: int) -> object:
        def run(connection: Connection) -> None:
            runs.append(first)
            _touch(connection, first)
            if runs.count(first) == 1:
                both_hold.wait(20)
            _touch(connection, second)

        return run

    await asyncio.gather(database.write(change(1, 2)), database.write(change(2, 1)))
    times = await database.read(lambda c: c.execute(select(NUMBER.c.times)).scalars().all())
    assert times == [2, 2]
    # Again more than once, when it takes its first row before the other has got hold of it.
    assert len(runs) >= 3


async def test_of_two_who_store_the_same_the_second_finds_it(database: PostgresDatabase) -> None:
    both_looked = threading.Barrier(2)
    runs: list[bool] = []

    def store(connection: Connection) -> bool:
        there = connection.execute(select(NUMBER.c.value)).first() is not None
        runs.append(there)
        if len(runs) <= 2:
            both_looked.wait(20)
        if not there:
            connection.execute(insert(NUMBER).values(value=1))
        return not there

    assert sorted(await asyncio.gather(database.write(store), database.write(store))) == [
        False,
        True,
    ]
    assert runs == [False, False, True]


async def test_a_lost_connection_is_replaced(
    postgres_server, url: URL, database: PostgresDatabase
) -> None:
    for work in (database.read, database.scan, database.write):
        await work(_count)
        assert _cut(postgres_server, url) > 0
        assert await work(_count) == 0


async def test_a_connection_lost_in_a_transaction_leaves_nothing(
    postgres_server, url: URL, database: PostgresDatabase
) -> None:
    runs = []

    def change(connection: Connection) -> None:
        runs.append(1)
        connection.execute(insert(NUMBER).values(value=len(runs)))
        if len(runs) == 1:
            postgres_server.run(_CUT.format(url.database))
        connection.execute(select(NUMBER.c.value))

    await database.write(change)
    values = await database.read(lambda c: c.execute(select(NUMBER.c.value)).scalars().all())
    assert values == [2]


async def test_a_server_that_is_away_is_trouble_that_passes(
    postgres_server, url: URL, database: PostgresDatabase
) -> None:
    await database.write(_add(1))
    postgres_server.run(f"ALTER DATABASE {url.database} ALLOW_CONNECTIONS false")
    assert _cut(postgres_server, url) > 0
    for work in (database.read, database.scan, database.write):
        with pytest.raises(DatabaseUnavailable):
            await work(_count)
    postgres_server.run(f"ALTER DATABASE {url.database} ALLOW_CONNECTIONS true")
    for work in (database.read, database.scan, database.write):
        assert await work(_count) == 1


async def test_there_are_no_more_connections_than_allowed(
    postgres_server, url: URL, database: PostgresDatabase
) -> None:
    works = [work(_count) for _ in range(20) for work in (database.read, database.write)]
    await asyncio.gather(*works)
    opened = await database.read(
        lambda c: c.execute(
            text("SELECT count(*) FROM pg_stat_activity WHERE datname = :name"),
            {"name": url.database},
        ).scalar_one()
    )
    assert 2 <= opened <= 4


@pytest.fixture
async def heard(
    postgres_server, url: URL, database: PostgresDatabase
) -> AsyncIterator[asyncio.Queue[list[str]]]:
    """What the process of `database` hears."""
    heard: asyncio.Queue[list[str]] = asyncio.Queue()
    hearing = Hearing(
        ears={"names": heard.put_nowait, "end": lambda _: heard.put_nowait(["the end"])},
        missed=lambda: heard.put_nowait(["missed"]),
    )
    listening = asyncio.create_task(database.listen(hearing, take_over_s=3600))
    assert await asyncio.wait_for(heard.get(), 60) == ["missed"]
    yield heard
    listening.cancel()
    await asyncio.wait([listening])


async def test_words_are_heard_in_order_after_the_commit(
    url: URL, heard: asyncio.Queue[list[str]]
) -> None:
    def tell(connection: Connection) -> None:
        ring_for(connection, "names", ["a", "b"])
        ring_for(connection, "names", [])
        ring(connection, "nobody listens to this")
        ring(connection, "end")

    def fail(connection: Connection) -> None:
        ring(connection, "end")
        raise ZeroDivisionError

    other = PostgresDatabase(url, 4)
    with pytest.raises(ZeroDivisionError):
        await other.write(fail)
    await other.write(tell)
    assert [await asyncio.wait_for(heard.get(), 60) for _ in range(2)] == [["a", "b"], ["the end"]]
    await other.close()


async def test_one_does_not_hear_oneself(
    url: URL, database: PostgresDatabase, heard: asyncio.Queue[list[str]]
) -> None:
    other = PostgresDatabase(url, 4)
    await database.write(lambda c: ring_for(c, "names", ["mine"]))
    await other.write(lambda c: ring_for(c, "names", ["theirs"]))
    assert await asyncio.wait_for(heard.get(), 60) == ["theirs"]
    await other.close()


async def test_any_number_of_names_is_told(url: URL, heard: asyncio.Queue[list[str]]) -> None:
    names = [f"{number:064}" for number in range(1_234)]
    other = PostgresDatabase(url, 4)
    await other.write(lambda c: ring_for(c, "names", names))
    told: list[str] = []
    while len(told) < len(names):
        told += await asyncio.wait_for(heard.get(), 60)
    assert told == names
    await other.close()


async def test_who_lost_the_connection_is_told_to_look_again(
    postgres_server, url: URL, heard: asyncio.Queue[list[str]]
) -> None:
    for _ in range(3):
        assert postgres_server.cut_listeners(url) == 1
        assert await asyncio.wait_for(heard.get(), 60) == ["missed"]


async def test_work_left_undone_is_looked_for_now_and_then(
    url: URL, database: PostgresDatabase
) -> None:
    looked = asyncio.Queue[None]()
    hearing = Hearing(take_over=lambda: looked.put_nowait(None))
    listening = asyncio.create_task(database.listen(hearing, take_over_s=0.01))
    for _ in range(3):
        await asyncio.wait_for(looked.get(), 60)
    listening.cancel()
    await asyncio.wait([listening])


_CUT = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{}'"


def _cut(server, url: URL) -> int:
    """Ends the connections to a database from the server's side; returns their number."""
    (number,) = server.row(_CUT.format(url.database))
    return number
