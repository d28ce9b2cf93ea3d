"""Waits between attempts at a call, and which calls are worth another attempt."""

import asyncio
import random
from typing import Final

import grpc
import structlog

log = structlog.get_logger(__name__)

_FIRST_S: Final = 0.1
_LONGEST_S: Final = 5.0

#: What a service that is away, restarting or overloaded answers.
PASSING: Final = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
    }
)


class Backoff:
    """Waiting times that double from 0.1 to 5 seconds.

    Each is drawn at random between half and the whole of it, so that services that lost the same
    neighbour do not come back in step.
    """

    def __init__(self) -> None:
        self._next_s = _FIRST_S

    def wait_s(self) -> float:
        """Returns the next time to wait, in seconds."""
        wait_s = self._next_s
        self._next_s = min(2 * wait_s, _LONGEST_S)
        return random.uniform(wait_s / 2, wait_s)

    def reset(self) -> None:
        """Starts anew after a success."""
        self._next_s = _FIRST_S


async def pause(what: str, error: grpc.aio.AioRpcError, backoff: Backoff) -> None:
    """Logs that a call failed and waits before the next attempt."""
    wait_s = backoff.wait_s()
    log.warning(
        what, code=error.code().name, details=error.details(), next_attempt_in_s=round(wait_s, 2)
    )
    await asyncio.sleep(wait_s)
