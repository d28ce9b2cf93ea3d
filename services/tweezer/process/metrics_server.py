"""Serves the metrics of a process that has no HTTP server of its own."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Final

import structlog
import uvicorn
from starlette.types import Receive, Scope, Send

from tweezer.process.metrics import CONTENT_TYPE, Metrics
from tweezer.process.run import StartFailed

log = structlog.get_logger(__name__)

_LAST_PORT: Final = 65535


@contextlib.asynccontextmanager
async def metrics_served(metrics: Metrics, listen: str) -> AsyncIterator[int]:
    """Answers `GET /metrics` at an address while the body runs; gives the port."""
    server = _Server(
        uvicorn.Config(
            _Page(metrics),
            ws="none",
            lifespan="off",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            log_config=None,
            limit_concurrency=16,
            timeout_graceful_shutdown=1,
        )
    )
    with _listener(listen) as listener:
        port = listener.getsockname()[1]
        log.info("serving metrics", address=listen, port=port)
        answering = asyncio.create_task(server.serve(sockets=[listener]), name="metrics")
        try:
            yield port
        finally:
            server.should_exit = True
            await answering


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves the signals to the process."""
        yield


class _Page:
    """The only page there is."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        found = scope["path"] == "/metrics" and scope["method"] in ("GET", "HEAD")
        body = await self._metrics.text() if found else b"the metrics are at /metrics\n"
        headers = [
            (b"content-type", CONTENT_TYPE.encode() if found else b"text/plain"),
            (b"content-length", str(len(body)).encode()),
        ]
        status = 200 if found else 404
        await send({"type": "http.response.start", "status": status, "headers": headers})
        # The server leaves the body of an answer to HEAD out.
        await send({"type": "http.response.body", "body": body})


def _listener(listen: str) -> socket.socket:
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    if not host or not port.isdecimal() or int(port) > _LAST_PORT:
        raise StartFailed(f"cannot serve metrics on {listen}: it must be <host>:<port>")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, int(port)), family=family)
    except OSError as error:
        raise StartFailed(f"cannot serve metrics on {listen}: {error.strerror or error}") from None
