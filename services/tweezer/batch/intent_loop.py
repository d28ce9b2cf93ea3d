"""Tells JobService what should happen to batches, until it has acknowledged it."""

import asyncio
import random
from collections.abc import Sequence
from typing import Final

import grpc
import structlog

from tweezer.batch.store.intents import PendingIntent, acknowledge, pending_intents
from tweezer.database.database import Database
from tweezer.internal.v1.queue_service_pb2 import ApplyIntentsRequest, BatchIntent
from tweezer.internal.v1.queue_service_pb2_grpc import QueueServiceStub

log = structlog.get_logger(__name__)

#: Waits after failures, in seconds: the first, and how often it doubles.
_FIRST_WAIT: Final = 0.1
_DOUBLINGS: Final = 5

#: Failures that are nobody's fault: JobService is away, slow or full.
_PASSING: Final = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.CANCELLED,
    }
)


class IntentLoop:
    """Carries intents down.

    What must be told is in the database, so a restart loses nothing; `wake` only says that there
    is something.
    """

    def __init__(self, database: Database, queue: QueueServiceStub, intents_per_call: int) -> None:
        self._database, self._queue = database, queue
        self._intents_per_call = intents_per_call
        self._something_new = asyncio.Event()
        self._failures = 0

    def wake(self) -> None:
        """Says that an intent has been committed."""
        self._something_new.set()

    async def run(self) -> None:
        """Carries intents for ever."""
        while True:
            self._something_new.clear()
            intents = await self._database.read(
                lambda c: pending_intents(c, self._intents_per_call)
            )
            if not intents:
                await self._something_new.wait()
            elif await self._carry(intents):
                self._failures = 0
            else:
                await self._back_off()

    async def _carry(self, intents: Sequence[PendingIntent]) -> bool:
        """Tells JobService; says whether it has acknowledged all of it."""
        try:
            await self._queue.ApplyIntents(_request(intents))
        except grpc.aio.AioRpcError as error:
            if len(intents) > 1 and error.code() not in _PASSING:
                # One that JobService cannot apply must not hold up the others.
                return all([await self._carry([intent]) for intent in intents])
            self._log_failure(intents, error)
            return False
        await self._database.write(lambda c: acknowledge(c, intents))
        return True

    def _log_failure(self, intents: Sequence[PendingIntent], error: grpc.aio.AioRpcError) -> None:
        if error.code() not in _PASSING:
            log.error(
                "JobService refuses an intent",
                batch_id=intents[0].batch_id,
                code=error.code().name,
                details=error.details(),
            )
        elif self._failures == 0:
            log.warning("JobService is away; intents wait", code=error.code().name)

    async def _back_off(self) -> None:
        longest = _FIRST_WAIT * 2 ** min(self._failures, _DOUBLINGS)
        self._failures += 1
        # Not `wake`: a busy service must not knock at the door of one that is down.
        await asyncio.sleep(longest * random.uniform(0.5, 1.0))


def _request(intents: Sequence[PendingIntent]) -> ApplyIntentsRequest:
    return ApplyIntentsRequest(
        intents=[
            BatchIntent(
                batch_id=intent.batch_id,
                version=intent.version,
                released_addition_ids=intent.released_addition_ids,
                cancelled=intent.cancelled,
                paused=intent.paused,
            )
            for intent in intents
        ]
    )
