"""What replicas hold and hear through their database server, when that goes and comes back."""

import asyncio
import threading

import pytest
from breaking.server import DatabaseServer
from sqlalchemy import URL, Connection, text

from tweezer.database.bell import Hearing, ring_for
from tweezer.database.locks import lock_name
from tweezer.database.postgres import PostgresDatabase

pytestmark = pytest.mark.slow

ROOM = 7
PATIENCE_S = 60


@pytest.fixture
def url(database_server: DatabaseServer) -> URL:
    return database_server.make_database()


@pytest.mark.parametrize("at_once", [False, True], ids=["stopped", "crashed"])
async def test_a_lock_does_not_outlive_the_server(
    database_server: DatabaseServer, url: URL, at_once: bool
) -> None:
    one, other = PostgresDatabase(url, 4), PostgresDatabase(url, 4)
    holds, may_go_on, runs = threading.Event(), threading.Event(), []

    def hold(connection: Connection) -> int:
        lock_name(connection, ROOM, "device")
        runs.append(1)
        holds.set()
        assert may_go_on.wait(PATIENCE_S)
        return int(connection.execute(text("SELECT 1")).scalar_one())

    holding = asyncio.create_task(one.write(hold))
    assert await asyncio.to_thread(holds.wait, PATIENCE_S)
    await asyncio.to_thread(database_server.stop, at_once=at_once)
    await asyncio.to_thread(database_server.start)
    # The other replica takes what nobody holds any more; the first notices and begins again.
    await other.write(lambda c: lock_name(c, ROOM, "device"))
    may_go_on.set()
    assert await asyncio.wait_for(holding, PATIENCE_S) == 1
    assert len(runs) == 2
    for database in (one, other):
        await database.close()


async def test_replicas_hear_each_other_again(database_server: DatabaseServer, url: URL) -> None:
    one, other = PostgresDatabase(url, 4), PostgresDatabase(url, 4)
    heard: asyncio.Queue[str] = asyncio.Queue()
    hearing = Hearing(
        ears={"names": lambda names: heard.put_nowait(names[0])},
        missed=lambda: heard.put_nowait("missed"),
    )
    listening = asyncio.create_task(one.listen(hearing, take_over_s=3600))
    assert await asyncio.wait_for(heard.get(), PATIENCE_S) == "missed"
    for at_once in (False, True):
        await asyncio.to_thread(database_server.stop, at_once=at_once)
        await asyncio.to_thread(database_server.start)
        # Who waits is told to look again, as words may have been said that nobody heard.
        assert await asyncio.wait_for(heard.get(), PATIENCE_S) == "missed"
        await other.write(lambda c: ring_for(c, "names", ["word"]))
        assert await asyncio.wait_for(heard.get(), PATIENCE_S) == "word"
    listening.cancel()
    await asyncio.wait([listening])
    for database in (one, other):
        await database.close()
