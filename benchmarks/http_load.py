"""A light HTTP/1.1 load generator: keep-alive connections, no pipelining, no parsing of bodies.

It must cost little beside what it measures, on the same cores; httpx would cost more than that.
"""

import asyncio
import multiprocessing
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import uvloop


@dataclass(frozen=True, slots=True)
class Target:
    """Where to send what; the requests are sent in turn."""

    host: str
    port: int
    requests: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Load:
    """What came of a load."""

    rate: float
    """Answers per second."""
    median_ms: float
    p99_ms: float
    failed: int
    """Answers that were none of success, and connections that broke."""


def request(method: str, path: str, token: str | None = None, body: bytes = b"") -> bytes:
    """Returns the bytes of a request."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
    if token is not None:
        lines.append(f"Authorization: Bearer {token}")
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


def full(target: Target, clients: int, seconds: float) -> Load:
    """Loads the target as much as `clients` can that each wait for their answers."""
    return _in_own_process(_full, target, clients, seconds)


def at_rate(target: Target, clients: int, seconds: float, rate: float) -> Load:
    """Sends requests at a rate; an answer's time counts from when its request was due."""
    return _in_own_process(_at_rate, target, clients, seconds, rate)


def _in_own_process(measure: Any, *arguments: Any) -> Load:
    # A fresh process has no garbage, and none of the threads of gRPC.
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        load: Load = pool.apply(_run, (measure, *arguments))
        return load


def _run(measure: Any, *arguments: Any) -> Load:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        load: Load = runner.run(measure(*arguments))
        return load


class _Connection(asyncio.Protocol):
    """Sends one request at a time."""

    def __init__(self) -> None:
        self._transport: Any = None
        self._answer: asyncio.Future[bool] | None = None
        self._received = bytearray()
        self._length = -1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remembers the transport."""
        self._transport = transport

    def send(self, data: bytes) -> asyncio.Future[bool]:
        """Sends a request; the future says whether the answer is one of success."""
        self._answer = asyncio.get_running_loop().create_future()
        self._received.clear()
        self._length = -1
        self._transport.write(data)
        return self._answer

    def data_received(self, data: bytes) -> None:
        """Takes a part of an answer."""
        received = self._received
        received += data
        if self._length < 0:
            end = received.find(b"\r\n\r\n")
            if end < 0:
                return
            head = bytes(received[:end]).lower()
            at = head.index(b"content-length:") + 15
            stop = head.find(b"\r", at)
            length = head[at:] if stop < 0 else head[at:stop]
            self._length = end + 4 + int(length)
        if len(received) >= self._length and self._answer is not None:
            answer, self._answer = self._answer, None
            answer.set_result(received.startswith(b"HTTP/1.1 2"))

    def connection_lost(self, exc: Exception | None) -> None:
        """Fails what is under way."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionError("the server closed the connection"))

    def close(self) -> None:
        """Closes the connection."""
        self._transport.close()


async def _connect(target: Target, clients: int) -> list[_Connection]:
    loop = asyncio.get_running_loop()
    made = [
        await loop.create_connection(_Connection, target.host, target.port) for _ in range(clients)
    ]
    return [connection for _, connection in made]


async def _full(target: Target, clients: int, seconds: float) -> Load:
    connections = await _connect(target, clients)
    times: list[float] = []
    failed = 0
    end = time.perf_counter() + seconds

    async def client(number: int) -> None:
        nonlocal failed
        turn, connection = number, connections[number]
        while (began := time.perf_counter()) < end:
            good = await connection.send(target.requests[turn % len(target.requests)])
            turn += clients
            times.append(time.perf_counter() - began)
            failed += not good

    began = time.perf_counter()
    await asyncio.gather(*map(client, range(clients)))
    took = time.perf_counter() - began
    return _summary(times, took, failed, connections)


async def _at_rate(target: Target, clients: int, seconds: float, rate: float) -> Load:
    connections = await _connect(target, clients)
    times: list[float] = []
    failed, turn = 0, 0
    number = int(rate * seconds)
    start = time.perf_counter() + 0.05

    async def client(connection: _Connection) -> None:
        nonlocal failed, turn
        while turn < number:
            mine, turn = turn, turn + 1
            due = start + mine / rate
            wait = due - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            good = await connection.send(target.requests[mine % len(target.requests)])
            times.append(time.perf_counter() - due)
            failed += not good

    await asyncio.gather(*map(client, connections))
    return _summary(times, time.perf_counter() - start, failed, connections)


def _summary(
    times: Sequence[float], took: float, failed: int, connections: Sequence[_Connection]
) -> Load:
    for connection in connections:
        connection.close()
    p99 = statistics.quantiles(times, n=100)[98] if len(times) > 1 else times[0]
    return Load(len(times) / took, 1000 * statistics.median(times), 1000 * p99, failed)
