"""A database server that is away for a while: told cleanly, and the loops go on by themselves."""

import asyncio
from contextlib import contextmanager

import grpc
import pytest


@pytest.fixture(params=["postgresql"])
def backend(request):
    return request.param


@contextmanager
def away(server, url):
    """Lets nobody reach a database."""
    server.run(f"ALTER DATABASE {url.database} ALLOW_CONNECTIONS false")
    server.cut(url)
    try:
        yield
    finally:
        server.run(f"ALTER DATABASE {url.database} ALLOW_CONNECTIONS true")


async def test_intents_are_told_when_the_database_is_back(place, user, new_batch, postgres_server):
    async with place.running() as stubs:

        def create():
            return stubs.batches.CreateBatch(new_batch(), metadata=user.metadata)

        place.queue.may_answer.clear()
        refused = create()
        await place.queue.entered.wait()
        with away(postgres_server, place.settings.batch_database):
            place.queue.may_answer.set()
            # Its end also wakes the loop that tells of intents, which finds no database.
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                await refused
            assert failed.value.code() is grpc.StatusCode.UNAVAILABLE
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                await create()
            assert failed.value.code() is grpc.StatusCode.UNAVAILABLE
        batch = (await create()).batch
        intent = await asyncio.wait_for(place.queue.next_intent(), 60)
    assert intent.batch_id == batch.id
