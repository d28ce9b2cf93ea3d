"""A server of ours with a service whose handlers the test decides, and ways to call it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from tweezer.internal.v1 import program_service_pb2 as program
from tweezer.internal.v1 import program_service_pb2_grpc as program_grpc
from tweezer.process.telemetry import Telemetry
from tweezer.rpc.channel import open_service_channel
from tweezer.rpc.server import build_server, start_server
from tweezer.rpc.settings import RpcSettings
from tweezer.v1 import device_service_pb2 as device
from tweezer.v1 import device_service_pb2_grpc as device_grpc

Handle = Callable[[], Awaitable[None]]


async def _nothing() -> None:
    pass


class Handlers(program_grpc.ProgramServiceServicer, device_grpc.DeviceServiceServicer):
    """One internal and one public method; what they do is set by the test."""

    def __init__(self) -> None:
        self.internal: Handle = _nothing
        self.public: Handle = _nothing
        self.connections: set[str] = set()

    async def GetProgram(self, request: Any, context: Any) -> Any:
        self.connections.add(context.peer())
        await self.internal()
        return program.GetProgramResponse(sequence="s")

    async def ListPublicDevices(self, request: Any, context: Any) -> Any:
        await self.public()
        return device.ListPublicDevicesResponse()


class Peer:
    """The server, and both of the ways in which it is called."""

    def __init__(self, settings: RpcSettings, telemetry: Telemetry, handlers: Handlers) -> None:
        self.settings, self.telemetry, self.handlers = settings, telemetry, handlers
        self.address = ""
        self.open_channel: grpc.aio.Channel
        self.service_channel: grpc.aio.Channel

    async def call(self, **options: Any) -> Any:
        """Calls the public method, as a client of the API does."""
        stub = device_grpc.DeviceServiceStub(self.open_channel)
        return await stub.ListPublicDevices(device.ListPublicDevicesRequest(), **options)

    async def call_inside(self) -> Any:
        """Calls the internal method, as our own processes do."""
        stub = program_grpc.ProgramServiceStub(self.service_channel)
        return await stub.GetProgram(program.GetProgramRequest())

    def value(self, name: str, **labels: str) -> float | None:
        """Returns a metric."""
        return self.telemetry.metrics.registry.get_sample_value(name, labels)


@pytest.fixture
def run_peer(tmp_path: Path) -> Callable[..., Any]:
    @asynccontextmanager
    async def run(telemetry: Telemetry | None = None, **changed: Any) -> AsyncIterator[Peer]:
        peer = Peer(RpcSettings(data_dir=tmp_path, **changed), telemetry or Telemetry(), Handlers())
        server = build_server(peer.settings, peer.telemetry)
        program_grpc.add_ProgramServiceServicer_to_server(peer.handlers, server)
        device_grpc.add_DeviceServiceServicer_to_server(peer.handlers, server)
        peer.address = f"127.0.0.1:{await start_server(server, '127.0.0.1:0', [])}"
        async with (
            grpc.aio.insecure_channel(peer.address) as peer.open_channel,
            open_service_channel(peer.settings, peer.address) as peer.service_channel,
        ):
            yield peer
        await server.stop(None)

    return run


@pytest.fixture
async def peer(run_peer: Callable[..., Any]) -> AsyncIterator[Peer]:
    async with run_peer() as peer:
        yield peer
