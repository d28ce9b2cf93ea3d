"""Health that tells the truth."""

import asyncio
from contextlib import asynccontextmanager

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tweezer.rpc.server import build_server, serving
from tweezer.rpc.settings import RpcSettings

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
NAME = "tweezer.v1.BatchService"


class Database:
    """Something that answers, or does not."""

    def __init__(self) -> None:
        self.answers = asyncio.Event()
        self.answers.set()
        self.error: Exception | None = None

    async def check(self) -> None:
        await self.answers.wait()
        if self.error is not None:
            raise self.error


@pytest.fixture
def run(tmp_path):
    @asynccontextmanager
    async def run(database, before_stop=lambda: None):
        settings = RpcSettings(
            data_dir=tmp_path, health_check_s=0.01, health_patience_s=0.1, stop_grace_s=0.5
        )
        server = build_server(settings)
        async with serving(
            server,
            settings,
            "127.0.0.1:0",
            [NAME],
            check=database.check,
            before_stop=before_stop,
        ) as port:
            yield health_pb2_grpc.HealthStub(grpc.aio.insecure_channel(f"127.0.0.1:{port}"))

    return run


@pytest.mark.parametrize("name", ["", NAME])
async def test_it_serves_as_long_as_the_database_answers(run, name):
    database = Database()
    async with run(database) as health:
        watch = health.Watch(health_pb2.HealthCheckRequest(service=name))
        assert (await watch.read()).status == SERVING
        database.error = OSError("the disk is gone")
        assert (await watch.read()).status == NOT_SERVING
        database.error = None
        assert (await watch.read()).status == SERVING
        watch.cancel()


async def test_a_database_that_hangs_does_not_answer(run):
    database = Database()
    async with run(database) as health:
        watch = health.Watch(health_pb2.HealthCheckRequest(service=NAME))
        assert (await watch.read()).status == SERVING
        database.answers.clear()
        assert (await watch.read()).status == NOT_SERVING
        database.answers.set()
        assert (await watch.read()).status == SERVING
        watch.cancel()


async def test_it_starts_without_a_database_and_says_so(run):
    database = Database()
    database.error = OSError("not there")
    async with run(database) as health:
        answer = await health.Check(health_pb2.HealthCheckRequest(service=NAME))
        assert answer.status == NOT_SERVING


async def test_those_who_watch_hear_that_it_stops_before_they_are_cut_off(run):
    stopped = asyncio.Event()
    async with run(Database(), stopped.set) as health:
        watch = health.Watch(health_pb2.HealthCheckRequest(service=NAME))
        assert (await watch.read()).status == SERVING
        following = asyncio.ensure_future(watch.read())
    assert (await following).status == NOT_SERVING
    assert stopped.is_set()
    watch.cancel()
