"""Ctrl-C and other requests to stop, as events."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class StopRequests:
    """What the user or the system has asked for."""

    stop: asyncio.Event = field(default_factory=asyncio.Event)
    """To stop cleanly."""
    force: asyncio.Event = field(default_factory=asyncio.Event)
    """To stop at once: Ctrl-C was pressed again."""

    def interrupt(self) -> None:
        """Reacts to Ctrl-C."""
        (self.force if self.stop.is_set() else self.stop).set()


@asynccontextmanager
async def stop_requests() -> AsyncIterator[StopRequests]:
    """Turns signals into events while the body runs."""
    requests = StopRequests()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, requests.interrupt)
    # The hang-up of a closed terminal is a request to stop, too.
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, requests.stop.set)
    try:
        yield requests
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.remove_signal_handler(number)


async def until_set(event: asyncio.Event, *works: Awaitable[None]) -> None:
    """Runs the works until one is done or the event is set; the others are cancelled."""
    working = [asyncio.ensure_future(work) for work in works]
    waiting = asyncio.create_task(event.wait())
    try:
        await asyncio.wait([*working, waiting], return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
        for work in working:
            work.cancel()
        results = await asyncio.gather(*working, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
            raise result
