"""Puts in order what crashes and deletions leave behind: at the start, and from time to time.

Each step can be repeated, and stopped half way, at no harm.
"""

import asyncio
from dataclasses import asdict, dataclass
from typing import Final

import structlog

from tweezer.batch.intent_loop import IntentLoop
from tweezer.batch.metrics import BatchMetrics
from tweezer.batch.store import clean_up
from tweezer.batch.store.requests import free_expired
from tweezer.database.database import Database
from tweezer.database.timestamps import Clock, now_micros

log = structlog.get_logger(__name__)

#: How long it is remembered that an addition was given up, in microseconds. It must be longer than
#: any call could have been frozen and still go on to commit the addition.
GIVEN_UP_KEPT: Final = 7 * 24 * 3600 * 1_000_000

#: Sequences that are deleted in one transaction.
_PROGRAMS_AT_ONCE: Final = 100


@dataclass(frozen=True, slots=True)
class Recovered:
    """What was found and put in order."""

    waiting_intents: int
    """Batches of which JobService is now told."""
    given_up_additions: int
    """Additions of which need not be remembered any more that they were given up."""
    unused_programs: int
    """Sequences that no batch uses."""
    expired_requests: int
    """Names of calls whose time is over."""


class Recovery:
    """Sweeps the tables."""

    def __init__(
        self,
        database: Database,
        intents: IntentLoop,
        interval_s: float,
        clock: Clock = now_micros,
        metrics: BatchMetrics | None = None,
    ) -> None:
        self._database, self._intents = database, intents
        self._metrics = metrics
        self._interval_s, self._clock = interval_s, clock

    async def run(self) -> None:
        """Sweeps for ever."""
        while True:
            await self.sweep()
            await asyncio.sleep(self._interval_s)

    async def sweep(self) -> Recovered:
        """Does each step once."""
        recovered = Recovered(
            waiting_intents=await self._tell_intents(),
            given_up_additions=await self._forget_given_up(),
            unused_programs=await self.delete_unused_programs(),
            expired_requests=await self._free_names(),
        )
        if recovered != Recovered(0, 0, 0, 0):
            log.info("recovered", **asdict(recovered))
            if self._metrics is not None:
                self._metrics.recovered(asdict(recovered))
        return recovered

    async def delete_unused_programs(self) -> int:
        """Deletes the sequences that no batch uses, and returns their number."""
        deleted, after = 0, ""
        while True:
            unused = await self._unused(after)
            if not unused:
                return deleted
            deleted += await self._delete(unused)
            after = unused[-1]

    async def _unused(self, after: str) -> list[str]:
        return await self._database.scan(
            lambda c: clean_up.unused_programs(c, after, _PROGRAMS_AT_ONCE)
        )

    async def _delete(self, unused: list[str]) -> int:
        return await self._database.write(lambda c: clean_up.delete_unused_programs(c, unused))

    async def _tell_intents(self) -> int:
        waiting = await self._database.scan(clean_up.count_unacknowledged)
        if waiting:
            self._intents.wake()
        return waiting

    async def _forget_given_up(self) -> int:
        before = self._clock() - GIVEN_UP_KEPT
        return await self._database.write(lambda c: clean_up.delete_given_up(c, before))

    async def _free_names(self) -> int:
        now = self._clock()
        return await self._database.write(lambda c: free_expired(c, now))
