"""Which calls are worth another attempt, and the wait before it."""

import asyncio
from typing import Final

import grpc
import structlog

from tweezer.process.backoff import Backoff

log = structlog.get_logger(__name__)

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


async def pause(what: str, error: grpc.aio.AioRpcError, backoff: Backoff) -> None:
    """Logs that a call failed and waits before the next attempt."""
    wait_s = backoff.wait_s()
    log.warning(
        what, code=error.code().name, details=error.details(), next_attempt_in_s=round(wait_s, 2)
    )
    await asyncio.sleep(wait_s)
