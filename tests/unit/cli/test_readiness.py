import asyncio

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from tweezer.cli.ports import address, choose_ports
from tweezer.cli.readiness import grpc_ready, http_ready

NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVING = health_pb2.HealthCheckResponse.SERVING


class Watched(health.aio.HealthServicer):
    """Tells when it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()

    async def Check(self, request, context):
        self.asked.set()
        return await super().Check(request, context)


@pytest.fixture
def where() -> tuple[str, int]:
    return "127.0.0.1", choose_ports({"": ("127.0.0.1", 0)})[""]


async def test_a_grpc_server_is_ready_when_it_says_so(where):
    waiting = asyncio.create_task(grpc_ready(address(*where)))
    servicer, server = Watched(), grpc.aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    await servicer.set("", NOT_SERVING)
    server.add_insecure_port(address(*where))
    await server.start()
    try:
        await servicer.asked.wait()
        assert not waiting.done()
        await servicer.set("", SERVING)
        await asyncio.wait_for(waiting, 30)
    finally:
        await server.stop(None)


async def test_a_server_that_cannot_be_asked_is_an_error(where):
    server = grpc.aio.server()  # without the health service
    server.add_insecure_port(address(*where))
    await server.start()
    try:
        with pytest.raises(grpc.aio.AioRpcError, match="UNIMPLEMENTED"):
            await grpc_ready(address(*where))
    finally:
        await server.stop(None)


async def test_an_http_server_is_ready_when_it_answers_well(where):
    answers = [b"503 Service Unavailable", b"200 OK"]

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = b"HTTP/1.1 " + answers.pop(0) + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        writer.write(head)
        await writer.drain()
        writer.close()

    waiting = asyncio.create_task(http_ready(f"http://{address(*where)}/health"))
    async with await asyncio.start_server(answer, *where):
        await asyncio.wait_for(waiting, 30)
    assert answers == []
