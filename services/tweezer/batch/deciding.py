"""Changes what is wanted of batches, and sees to it that JobService hears of it."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import orjson
import structlog
from sqlalchemy import Connection

from tweezer.batch.intent_loop import IntentLoop
from tweezer.batch.store import decisions
from tweezer.batch.watch import BatchChanges
from tweezer.database.database import Database
from tweezer.database.timestamps import Clock, now_micros
from tweezer.process.crash_points import crash_point

log = structlog.get_logger(__name__)

T = TypeVar("T")


class Deciding:
    """Closes, cancels, pauses and resumes batches, and labels them.

    What cannot wait is told at once, for at most `wait_s`.
    """

    def __init__(
        self,
        database: Database,
        intents: IntentLoop,
        changes: BatchChanges,
        wait_s: float,
        clock: Clock = now_micros,
    ) -> None:
        self._database, self._intents, self._changes = database, intents, changes
        self._wait_s, self._clock = wait_s, clock

    async def close(self, batch_id: str) -> None:
        """Takes no more jobs into a batch."""
        await self._decide([batch_id], lambda c, now: decisions.close_batch(c, batch_id, now))
        log.info("batch closed", batch_id=batch_id)

    async def cancel(self, batch_id: str) -> None:
        """Cancels a batch; as a rule, what does not run is cancelled when this returns."""
        await self._decide(
            [batch_id], lambda c, now: decisions.cancel_batch(c, batch_id, now), at_once=True
        )
        log.info("batch cancelled", batch_id=batch_id)

    async def cancel_many(self, batch_ids: Sequence[str]) -> dict[str, str]:
        """Cancels batches; returns why some cannot be cancelled, by identifier."""
        refused = await self._decide(
            batch_ids, lambda c, now: decisions.cancel_batches(c, batch_ids, now), at_once=True
        )
        for batch_id in batch_ids:
            if batch_id not in refused:
                log.info("batch cancelled", batch_id=batch_id)
        return refused

    async def pause(self, batch_id: str, *, paused: bool) -> None:
        """Holds a batch back, or lets it go on."""
        await self._decide(
            [batch_id],
            lambda c, now: decisions.pause_batch(c, batch_id, now, paused=paused),
            at_once=True,
        )
        log.info("batch paused" if paused else "batch resumed", batch_id=batch_id)

    async def set_tags(self, batch_id: str, tags: Sequence[str]) -> None:
        """Replaces the tags of a batch."""
        now, as_json = self._clock(), orjson.dumps(tags).decode()
        await self._database.write(lambda c: decisions.set_tags(c, batch_id, tags, as_json, now))

    async def _decide(
        self,
        batch_ids: Sequence[str],
        decide: Callable[[Connection, int], T],
        *,
        at_once: bool = False,
    ) -> T:
        now = self._clock()
        try:
            decided = await self._database.write(lambda c: decide(c, now))
            crash_point("batch.decision.committed")
            self._changes.announce(batch_ids)
            if at_once:
                await self._intents.carry_now(batch_ids, self._wait_s)
        finally:
            # Also when the caller goes away in this moment and the commit succeeds nevertheless.
            self._intents.wake()
        return decided
