"""Lets a background loop outlive trouble that passes by itself."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Final

import structlog

from tweezer.process.backoff import Backoff

log = structlog.get_logger(__name__)

#: A loop that ran so long had got over the trouble before, in seconds.
_WELL_S: Final = 10.0


async def keep_going(
    name: str, run: Callable[[], Coroutine[None, None, None]], passing: type[Exception]
) -> None:
    """Runs a loop, and again after a wait whenever it ends by an error that passes.

    For loops that begin by looking at what is stored: nothing is lost when they begin again.
    """
    backoff = Backoff()
    loop = asyncio.get_running_loop()
    while True:
        begun = loop.time()
        try:
            return await run()
        except passing as error:
            if loop.time() - begun > _WELL_S:
                backoff.reset()
            wait_s = backoff.wait_s()
            log.warning(
                "a background loop begins again after a wait",
                loop=name,
                reason=str(error),
                wait_s=round(wait_s, 2),
            )
            await asyncio.sleep(wait_s)
