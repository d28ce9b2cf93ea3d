"""Bounds how many results are sent at the same time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from tweezer.rpc.errors import TooMuch

#: How long a result waits for others to be sent, in seconds.
_PATIENCE_S: Final = 5.0


class ResultStreams:
    """Hands out the right to send a result.

    Each stream holds a part of a result, the file and a call, for as long as its reader takes.
    """

    def __init__(self, at_once: int, patience_s: float = _PATIENCE_S) -> None:
        self._free = asyncio.Semaphore(at_once)
        self._patience_s = patience_s

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """Lets a result be sent as long as the context lasts; raises TooMuch when others are."""
        try:
            async with asyncio.timeout(self._patience_s):
                await self._free.acquire()
        except TimeoutError:
            raise TooMuch("too many results are being sent; try again in a moment") from None
        try:
            yield
        finally:
            self._free.release()
