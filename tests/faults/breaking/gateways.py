"""The way to the gateways: each call goes to the next of them, as a load balancer has it."""

from collections.abc import Iterable
from itertools import cycle

import httpx


class Gateways(httpx.AsyncBaseTransport):
    """Sends each call to another gateway, whatever the port that it names."""

    def __init__(self, ports: Iterable[int]) -> None:
        self._ports = cycle(ports)
        # Each call has a connection of its own: a process that is gone takes no other along.
        self._transport = httpx.AsyncHTTPTransport(limits=httpx.Limits(max_keepalive_connections=0))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Makes a call."""
        request.url = request.url.copy_with(port=next(self._ports))
        return await self._transport.handle_async_request(request)

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._transport.aclose()
