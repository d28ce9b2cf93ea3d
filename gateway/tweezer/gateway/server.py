"""Runs the application in uvicorn until the process should stop."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Final

import structlog
import uvicorn
from starlette.types import ASGIApp

from tweezer.gateway.app import create_app
from tweezer.gateway.http_protocol import bounded_protocol
from tweezer.gateway.settings import GatewaySettings
from tweezer.gateway.stubs import open_stubs
from tweezer.gateway.tls import server_context
from tweezer.process.notify import tell_ready
from tweezer.process.run import StartFailed
from tweezer.process.telemetry import telemetry_of

log = structlog.get_logger(__name__)

#: Longer than the longest pause between the polls of the public client, in seconds, so that its
#: connection is still there.
_KEEP_ALIVE: Final = 75


async def serve(
    settings: GatewaySettings,
    stop: asyncio.Event,
    listening: asyncio.Future[int] | None = None,
) -> None:
    """Serves until `stop` is set, and then until the running requests have ended.

    Streams of events end at once.

    `listening` gets the port.
    """
    async with telemetry_of("gateway", settings) as telemetry, open_stubs(settings) as stubs:
        server = build_server(settings, create_app(settings, stubs, telemetry, stop))
        with _listen(settings) as listener:
            host, port = listener.getsockname()[:2]
            async with asyncio.TaskGroup() as group:
                group.create_task(server.serve(sockets=[listener]))
                log.info("listening", host=host, port=port)
                tell_ready()
                if listening is not None:
                    listening.set_result(port)
                await stop.wait()
                server.should_exit = True


def build_server(settings: GatewaySettings, app: ASGIApp) -> uvicorn.Server:
    """Returns the HTTP server, not started."""
    own = settings.tls.own
    context = None if own is None else server_context(own)

    def given(_: uvicorn.Config, __: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
        assert context is not None
        return context

    return _Server(
        uvicorn.Config(
            app,
            ssl_context_factory=None if context is None else given,
            http=bounded_protocol(settings.gateway_max_header_bytes),
            ws="none",
            lifespan="off",
            # Each costs every request something, and the routes need none of them.
            access_log=False,
            server_header=False,
            # Nor this one, where nobody is believed. Behind a load balancer, all log-ins that fail
            # would otherwise count as those of one address.
            proxy_headers=bool(settings.gateway_trusted_proxies),
            forwarded_allow_ips=[str(each) for each in settings.gateway_trusted_proxies],
            log_config=None,
            timeout_keep_alive=_KEEP_ALIVE,
            timeout_graceful_shutdown=settings.gateway_shutdown_grace,
        )
    )


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves the signals to the process, which sets `stop`."""
        yield


def _listen(settings: GatewaySettings) -> socket.socket:
    host, port = settings.gateway_host, settings.gateway_port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise StartFailed(
            f"cannot listen on {host}:{port} ({error.strerror}): is another program, or another "
            "tweezer, using it?"
        ) from None
