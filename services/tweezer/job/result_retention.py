"""Removes results that are older than an operator wants to keep them."""

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog

from tweezer.database.database import Database
from tweezer.database.timestamps import Clock
from tweezer.job.results import ResultStore
from tweezer.job.store import result_rows
from tweezer.job.store.result_rows import StoredResult

log = structlog.get_logger(__name__)

_DAY_US: Final = 24 * 3600 * 1_000_000

#: How often to look for results that have become too old, in seconds.
_INTERVAL_S: Final = 3600.0


class ResultRetention:
    """Removes the results of jobs that ended long ago; the jobs stay as they are.

    The rows say so first. What a crash leaves after that is a result of nobody, which the sweep of
    the result store removes.
    """

    def __init__(
        self, database: Database, results: ResultStore, clock: Clock, days: float | None
    ) -> None:
        self._database, self._results, self._clock = database, results, clock
        self._kept = None if days is None else round(days * _DAY_US)

    async def run(self) -> None:
        """Looks for old results for ever."""
        while True:
            await self.remove_old()
            await asyncio.sleep(_INTERVAL_S)

    async def remove_old(self) -> int:
        """Removes what is too old now and returns how many results that were."""
        if self._kept is None:
            return 0
        now = self._clock()
        before, removed = now - self._kept, 0
        while old := await self._database.scan(lambda c: result_rows.stored(c, before)):
            await self._remove(old, now)
            removed += len(old)
        if removed:
            log.info("old results removed", number=removed)
        return removed

    async def _remove(self, old: Sequence[StoredResult], now: int) -> None:
        await self._database.write(lambda c: result_rows.record_removal(c, old, now))
        await self._results.remove(each.key for each in old)
