"""Takes in jobs and intents."""

from collections.abc import Sequence

import structlog

from tweezer.database.database import Database
from tweezer.database.timestamps import Clock
from tweezer.job.signals import Signals, to_the_end
from tweezer.job.store import enqueue, intents
from tweezer.job.store.enqueue import Addition
from tweezer.job.store.intents import Intent

log = structlog.get_logger(__name__)


class Queueing:
    """Changes the queue as BatchService says, and wakes those who wait for it."""

    def __init__(self, database: Database, signals: Signals, clock: Clock) -> None:
        self._database, self._signals, self._clock = database, signals, clock

    async def enqueue(self, addition: Addition) -> None:
        """Stores the jobs of an addition, held."""
        await to_the_end(self._enqueue(addition))

    async def _enqueue(self, addition: Addition) -> None:
        await self._database.write(lambda c: enqueue.store(c, addition))
        self._signals.addition_check.set(addition.check_at)

    async def apply(self, wanted: Sequence[Intent]) -> None:
        """Applies intents."""
        await to_the_end(self._apply(wanted))

    async def _apply(self, wanted: Sequence[Intent]) -> None:
        now = self._clock()
        applied = await self._database.write(lambda c: intents.apply(c, wanted, now))
        if applied.jobs_ready:
            self._signals.jobs_ready.send()
        if applied.progressed:
            self._signals.progress.set()
        if applied.missing_additions:
            # Committed there, but not here: a database was lost or restored. The other intents
            # must not wait for a person who looks into it.
            log.error("committed jobs are not stored", additions=applied.missing_additions)
