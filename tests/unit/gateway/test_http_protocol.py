"""The bound on the head of a request, piece by piece."""

import asyncio

import orjson
import pytest
import uvicorn
from uvicorn.server import ServerState

from tweezer.gateway.http_protocol import bounded_protocol

LIMIT = 1000


class Transport:
    """Notes what the protocol writes."""

    def __init__(self):
        self.written = b""
        self.closed = False

    def get_extra_info(self, name):
        return None

    def is_closing(self):
        return self.closed

    def write(self, data):
        self.written += data

    def close(self):
        self.closed = True

    def pause_reading(self):
        pass

    def resume_reading(self):
        pass


@pytest.fixture
async def connection():
    """A protocol on a transport; the application answers 204 to everything."""

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    config = uvicorn.Config(app, http=bounded_protocol(LIMIT), ws="none", log_config=None)
    config.load()
    state = ServerState()
    protocol = config.http_protocol_class(
        config=config, server_state=state, app_state={}, _loop=asyncio.get_running_loop()
    )
    transport = Transport()
    protocol.connection_made(transport)

    async def send(*pieces):
        for piece in pieces:
            if not transport.closed:
                protocol.data_received(piece)
        await asyncio.gather(*state.tasks)
        return transport

    yield send
    protocol.connection_lost(None)


async def test_a_head_over_the_limit_is_refused(connection):
    transport = await connection(b"GET / HTTP/1.1\r\n", *[b"X-A: " + b"a" * 93 + b"\r\n"] * 11)

    head, _, body = transport.written.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
    assert b"content-type: application/json" in head
    assert f"content-length: {len(body)}".encode() in head
    assert orjson.loads(body)["data"] == {"description": "the head is larger than 1000 bytes"}
    assert transport.closed


async def test_a_head_within_the_limit_is_served(connection):
    transport = await connection(
        b"GET / HTTP/1.1\r\n", *[b"X-A: " + b"a" * 93 + b"\r\n"] * 9, b"\r\n"
    )

    assert transport.written.startswith(b"HTTP/1.1 204 ")


async def test_the_next_head_of_a_connection_counts_anew(connection):
    head = [b"GET / HTTP/1.1\r\n", *[b"X-A: " + b"a" * 93 + b"\r\n"] * 9, b"\r\n"]

    await connection(*head)
    transport = await connection(*head)

    assert transport.written.count(b"HTTP/1.1 204 ") == 2


async def test_a_long_body_is_no_head(connection):
    transport = await connection(
        b"POST / HTTP/1.1\r\nContent-Length: 5000\r\n\r\n", *[b"x" * 100] * 50
    )

    assert transport.written.startswith(b"HTTP/1.1 204 ")


async def test_what_is_not_http_is_refused_in_json(connection):
    transport = await connection(b"\x16\x03\x01 hello\r\n\r\n")

    assert transport.written.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert orjson.loads(transport.written.partition(b"\r\n\r\n")[2])["code"] == "400"
    assert transport.closed
