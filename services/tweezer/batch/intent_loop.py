"""Tells JobService what should happen to batches, until it has acknowledged it."""

import asyncio
from collections.abc import Collection, Sequence
from typing import Final

import grpc
import structlog

from tweezer.batch.progress_intake import ProgressIntake
from tweezer.batch.store.intents import (
    PendingIntent,
    acknowledge,
    pending_intents,
    pending_intents_of,
)
from tweezer.database.database import Database
from tweezer.internal.v1.queue_service_pb2 import ApplyIntentsRequest, BatchIntent
from tweezer.internal.v1.queue_service_pb2_grpc import QueueServiceStub
from tweezer.process.backoff import Backoff
from tweezer.process.crash_points import crash_point

log = structlog.get_logger(__name__)

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

    def __init__(
        self,
        database: Database,
        queue: QueueServiceStub,
        progress: ProgressIntake,
        intents_per_call: int,
    ) -> None:
        self._database, self._queue, self._progress = database, queue, progress
        self._intents_per_call = intents_per_call
        self._something_new = asyncio.Event()
        self._backoff = Backoff()

    def wake(self) -> None:
        """Says that an intent has been committed."""
        self._something_new.set()

    async def carry_now(self, batch_ids: Collection[str], at_most_s: float) -> None:
        """Carries the intents of some batches at once, for at most so long.

        What takes longer is the loop's: `wake` it afterwards.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + at_most_s
        intents = await self._database.read(lambda c: pending_intents_of(c, batch_ids))
        for first in range(0, len(intents), self._intents_per_call):
            left_s = deadline - loop.time()
            chunk = intents[first : first + self._intents_per_call]
            if left_s <= 0 or not await self._carry(chunk, left_s):
                return

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
                self._backoff.reset()
            else:
                # Not `wake`: a busy service must not knock at the door of one that is down.
                await asyncio.sleep(self._backoff.wait_s())

    async def _carry(
        self, intents: Sequence[PendingIntent], timeout_s: float | None = None
    ) -> bool:
        """Tells JobService; says whether it has acknowledged all of it."""
        try:
            response = await self._queue.ApplyIntents(_request(intents), timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            if len(intents) > 1 and error.code() not in _PASSING:
                # One that JobService cannot apply must not hold up the others.
                return all([await self._carry([intent], timeout_s) for intent in intents])
            self._log_failure(intents, error)
            return False
        crash_point("batch.intents.applied")
        await self._progress.take(response.progress, also=lambda c: acknowledge(c, intents))
        crash_point("batch.intents.acknowledged")
        return True

    def _log_failure(self, intents: Sequence[PendingIntent], error: grpc.aio.AioRpcError) -> None:
        if error.code() not in _PASSING:
            log.error(
                "JobService refuses an intent",
                batch_id=intents[0].batch_id,
                code=error.code().name,
                details=error.details(),
            )
        elif self._backoff.is_first:
            log.warning("JobService is away; intents wait", code=error.code().name)


def _request(intents: Sequence[PendingIntent]) -> ApplyIntentsRequest:
    return ApplyIntentsRequest(
        intents=[
            BatchIntent(
                batch_id=intent.batch_id,
                version=intent.version,
                released_addition_ids=intent.released_addition_ids,
                cancelled=intent.cancelled,
                paused=intent.paused,
                open=intent.open,
            )
            for intent in intents
        ]
    )
