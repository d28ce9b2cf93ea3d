"""Too many calls at the same time."""

import asyncio

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tweezer.rpc.access import ACCESS, Access
from tweezer.rpc.call_classes import CallClass, class_of


class Gate:
    """Holds up calls until it is opened."""

    def __init__(self) -> None:
        self.waiting, self.opened = 0, asyncio.Event()
        self._arrived = asyncio.Condition()

    async def __call__(self) -> None:
        async with self._arrived:
            self.waiting += 1
            self._arrived.notify_all()
        await self.opened.wait()

    async def until(self, number: int) -> None:
        async with self._arrived:
            await self._arrived.wait_for(lambda: self.waiting == number)


async def test_clients_beyond_the_limit_are_told_to_come_again(run_peer):
    async with run_peer(max_public_calls=2) as peer:
        gate = peer.handlers.public = Gate()
        calls = [asyncio.create_task(peer.call()) for _ in range(2)]
        await gate.until(2)

        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await peer.call()
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED

        gate.opened.set()
        await asyncio.gather(*calls)
        await peer.call()  # there is room again


async def test_clients_do_not_crowd_out_our_own_calls_or_health(run_peer):
    async with run_peer(max_public_calls=1, max_internal_calls=1) as peer:
        gate = peer.handlers.public = Gate()
        call = asyncio.create_task(peer.call())
        await gate.until(1)

        await peer.call_inside()
        health = health_pb2_grpc.HealthStub(peer.open_channel)
        answer = await health.Check(health_pb2.HealthCheckRequest())
        assert answer.status == health_pb2.HealthCheckResponse.SERVING

        gate.opened.set()
        await call


async def test_our_own_calls_beyond_the_limit_come_again_by_themselves(run_peer):
    async with run_peer(max_internal_calls=1) as peer:
        gate = peer.handlers.internal = Gate()
        first = asyncio.create_task(peer.call_inside())
        await gate.until(1)
        second = asyncio.create_task(peer.call_inside())
        turned_away = {
            "method": "/tweezer.internal.v1.ProgramService/GetProgram",
            "code": "UNAVAILABLE",
        }
        while not peer.value("tweezer_grpc_calls_total", **turned_away):
            await peer.call()  # a round through the server
        gate.opened.set()
        await asyncio.gather(first, second)


def test_every_call_that_waits_is_in_a_class_of_its_own():
    waiting = {method for method in ACCESS if class_of(method) is CallClass.WAITING}
    assert {method.rpartition("/")[2] for method in waiting} == {
        "WatchBatch",
        "LeaseJobs",
        "RenewLeases",
    }


def test_internal_calls_are_those_with_the_service_credential():
    internal = {method for method in ACCESS if class_of(method) is CallClass.INTERNAL}
    assert internal
    assert all(ACCESS[method] is Access.SERVICE for method in internal)
