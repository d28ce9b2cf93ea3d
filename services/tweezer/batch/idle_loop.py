"""Ends open batches that are left alone for too long."""

import asyncio

import structlog

from tweezer.batch.intent_loop import IntentLoop
from tweezer.batch.store.decisions import longest_idle, time_out_idle
from tweezer.batch.watch import BatchChanges
from tweezer.database.database import Database
from tweezer.database.timestamps import Clock, now_micros
from tweezer.process.crash_points import crash_point

log = structlog.get_logger(__name__)


class IdleLoop:
    """Sleeps until the next batch is due.

    Nothing need wake it: a batch that becomes idle now is not due before the allowed time is over,
    and it never sleeps longer than that.
    """

    def __init__(
        self,
        database: Database,
        intents: IntentLoop,
        changes: BatchChanges,
        idle_s: float,
        clock: Clock = now_micros,
    ) -> None:
        self._database, self._intents, self._changes = database, intents, changes
        self._idle, self._clock = round(idle_s * 1_000_000), clock

    async def run(self) -> None:
        """Ends batches for ever."""
        while True:
            since = await self._database.read(longest_idle)
            now = self._clock()
            due = now + self._idle if since is None else since + self._idle
            if due > now:
                await asyncio.sleep(min(due - now, self._idle) / 1_000_000)
            else:
                await self._time_out(now)

    async def _time_out(self, now: int) -> None:
        ended = await self._database.write(lambda c: time_out_idle(c, now - self._idle, now))
        crash_point("batch.idle.timed_out")
        if ended:
            log.info("open batches timed out", number=len(ended), first=ended[0])
            self._intents.wake()
            self._changes.announce(ended)
