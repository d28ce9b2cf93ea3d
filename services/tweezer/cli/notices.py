"""Learns from processes that they serve, by the protocol of systemd's `sd_notify`."""

import asyncio
import socket
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self

#: Where a process finds the address: the name that the protocol gives it, as `process/notify.py`
#: has it, which imports more than the command line should.
VARIABLE: Final = "NOTIFY_SOCKET"


class Notices:
    """Listens for the word of each process, at an address of its own.

    A process that was told by nobody where to say it, or that says it twice, is no matter.
    """

    def __init__(self) -> None:
        self._ready: dict[str, asyncio.Event] = {}
        self._stack = AsyncExitStack()
        self._folder = Path()

    async def __aenter__(self) -> Self:
        """Makes the folder of the addresses, which nobody else can look into."""
        self._folder = Path(
            self._stack.enter_context(tempfile.TemporaryDirectory(prefix="tweezer-"))
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stops listening."""
        await self._stack.aclose()

    async def listen(self, name: str) -> str:
        """Listens for a process and returns the address for its environment."""
        ready = self._ready[name] = asyncio.Event()
        address = str(self._folder / name)
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Listener(ready), local_addr=address, family=socket.AF_UNIX
        )
        self._stack.callback(transport.close)
        return address

    async def ready(self, name: str) -> None:
        """Returns when the process has said that it serves."""
        await self._ready[name].wait()


class _Listener(asyncio.DatagramProtocol):
    def __init__(self, ready: asyncio.Event) -> None:
        self._ready = ready

    def datagram_received(self, data: bytes, addr: object) -> None:
        """Takes what a process says: lines of a variable and its value."""
        if b"READY=1" in data.splitlines():
            self._ready.set()
