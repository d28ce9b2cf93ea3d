"""Takes in jobs and intents."""

from collections.abc import Collection, Sequence
from typing import Any

import structlog
from sqlalchemy import Connection

from tweezer.database.database import Database
from tweezer.database.timestamps import Clock
from tweezer.job.filters import in_batch
from tweezer.job.intake import Intake
from tweezer.job.signals import Signals, to_the_end
from tweezer.job.storage_limit import StorageLimit
from tweezer.job.store import enqueue, intents, pauses, reads
from tweezer.job.store.enqueue import Addition
from tweezer.job.store.intents import Intent
from tweezer.job.store.progress import Progress
from tweezer.process.crash_points import crash_point
from tweezer.v1 import job_pb2

log = structlog.get_logger(__name__)


class Queueing:
    """Changes the queue as BatchService says, and wakes those who wait for it."""

    def __init__(
        self,
        database: Database,
        intake: Intake,
        storage: StorageLimit,
        signals: Signals,
        clock: Clock,
    ) -> None:
        self._database, self._intake, self._storage = database, intake, storage
        self._signals, self._clock = signals, clock

    async def enqueue(self, addition: Addition) -> None:
        """Stores the jobs of an addition, held.

        TooMuch when too many wait already, or their project has too much stored.
        """
        await self._storage.admit(addition.batch.project_id, addition.sequence_bytes)
        await self._intake.admit(addition.jobs_count)
        await to_the_end(self._enqueue(addition))

    async def _enqueue(self, addition: Addition) -> None:
        await self._database.write(lambda c: enqueue.store(c, addition, self._clock))
        crash_point("job.enqueue.stored")
        self._signals.addition_check.set(addition.check_at)
        log.info("jobs taken in", batch_id=addition.batch.id, jobs=addition.jobs_count)

    async def apply(self, wanted: Sequence[Intent]) -> list[Progress]:
        """Applies intents and returns how far their batches are after that."""
        return await to_the_end(self._apply(wanted))

    async def _apply(self, wanted: Sequence[Intent]) -> list[Progress]:
        now = self._clock()
        applied = await self._database.write(lambda c: intents.apply(c, wanted, now))
        crash_point("job.intents.applied")
        if applied.jobs_ready:
            self._signals.jobs_ready.send()
        self._signals.intents_applied.send()
        self._signals.stops.send(applied.stopping)
        if applied.progressed:
            self._signals.progress.set()
        if applied.missing_additions:
            # Committed there, but not here: a database was lost or restored. The other intents
            # must not wait for a person who looks into it.
            log.error("committed jobs are not stored", additions=applied.missing_additions)
        if applied.in_doubt:
            self._signals.addition_check.look()
        return applied.progress

    async def pause_devices(self, paused: Collection[str]) -> None:
        """Holds these devices back and no others."""
        await to_the_end(self._pause_devices(paused))

    async def _pause_devices(self, paused: Collection[str]) -> None:
        if await self._database.write(lambda c: pauses.replace(c, paused)):
            self._signals.jobs_ready.send()

    async def jobs(self, batch_id: str, wanted: job_pb2.JobFilter) -> Sequence[Sequence[Any]]:
        """Returns jobs of a batch as they were queued, in creation order.

        Held ones are among them: BatchService knows which additions it has committed. A batch that
        has had no jobs so far is not known here, and has none.
        """

        def read(connection: Connection) -> Sequence[Sequence[Any]]:
            project_id = reads.batch_project(connection, batch_id)
            projects = () if project_id is None else (project_id,)
            return reads.queued(connection, in_batch(wanted, batch_id, projects))

        return await self._database.scan(read)
