"""Cancels jobs for clients, and waits a moment for their workers to stop."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import structlog
from sqlalchemy import Connection

from tweezer.database.database import Database
from tweezer.database.timestamps import Clock
from tweezer.job.filters import Condition, in_batch
from tweezer.job.ids import all_canonical
from tweezer.job.models import JOB
from tweezer.job.reading import job_not_found
from tweezer.job.signals import Signals, to_the_end
from tweezer.job.store import cancelling, reads
from tweezer.job.store.cancelling import Cancelled
from tweezer.lifecycle import IllegalTransition, JobEvent, JobStatus
from tweezer.process.crash_points import crash_point
from tweezer.rpc.errors import NotAllowedNow, NotFound
from tweezer.rpc.identity import Caller
from tweezer.v1 import job_pb2

#: Finds the jobs that are meant, in the transaction in which they are cancelled.
_Find: TypeAlias = Callable[[Connection], Sequence[Condition]]

log = structlog.get_logger(__name__)

_CANCELING: Final = JobStatus.CANCELING.value
_STATUS: Final = [column.name for column in reads.JOB_COLUMNS].index("status")


@dataclass(slots=True)
class CancelledJobs:
    """What became of the jobs that were to be cancelled."""

    jobs: Sequence[Sequence[Any]]  #: `reads.JOB_COLUMNS`, by rank
    errors: dict[str, str] = field(default_factory=dict)  #: why others were left alone, by id


class Cancelling:
    """Cancels jobs of a caller's projects.

    A client may name jobs whose addition it has just been told about, before the intent that
    releases them is here. They cannot be cancelled before that, so it is waited for.
    """

    def __init__(
        self, database: Database, signals: Signals, clock: Clock, longest_wait_s: float
    ) -> None:
        self._database, self._signals, self._clock = database, signals, clock
        self._longest_wait_s = longest_wait_s

    async def job(self, caller: Caller, job_id: str) -> Sequence[Any]:
        """Cancels one job and returns it as it is then.

        Raises NotFound, or IllegalTransition when it was final before.
        """

        def find(connection: Connection) -> Sequence[Condition]:
            found = reads.status(connection, job_id)
            if found is None:
                raise NotFound(job_not_found(job_id))
            caller.require_project(found[0], job_not_found(job_id))
            return (JOB.c.id == job_id,)

        until = self._deadline()
        cancelled = await self._cancel_released(find, until)
        for status in cancelled.final.values():
            raise IllegalTransition(status, JobEvent.CANCEL)
        if cancelled.held:
            raise NotAllowedNow(_still_added(job_id))
        (row,) = await self._stopped(cancelled.ids, until)
        return row

    async def jobs(self, caller: Caller, batch_id: str, wanted: job_pb2.JobFilter) -> CancelledJobs:
        """Cancels the jobs of a batch that are wanted; what is final is an error if it is named."""
        missing = f"batch {batch_id} not found"

        def find(connection: Connection) -> Sequence[Condition]:
            project_id = reads.batch_project(connection, batch_id)
            if project_id is None:
                raise NotFound(missing)
            caller.require_project(project_id, missing)
            where = in_batch(wanted, batch_id, caller.project_ids).where
            return where if wanted.ids else (*where, cancelling.not_final())

        until = self._deadline()
        cancelled = await self._cancel_released(find, until)
        errors = {id_: _still_added(id_) for id_ in cancelled.held}
        errors |= {
            id_: str(IllegalTransition(status, JobEvent.CANCEL))
            for id_, status in cancelled.final.items()
        }
        errors |= await self._absent(batch_id, all_canonical("id", wanted.ids))
        return CancelledJobs(await self._stopped(cancelled.ids, until), errors)

    async def _absent(self, batch_id: str, named: Sequence[str]) -> dict[str, str]:
        here = await self._database.read(lambda c: reads.jobs_in_batch(c, batch_id, named))
        return {id_: job_not_found(id_) for id_ in named if id_ not in here}

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self._longest_wait_s

    async def _cancel_released(self, find: _Find, until: float) -> Cancelled:
        """Cancels jobs, as soon as none of them is held or the time is over."""
        found: list[str] = []
        while True:
            intents_applied = self._signals.intents_applied.next()
            cancelled = await to_the_end(self._cancel(find))
            found += [id_ for id_ in cancelled.ids if id_ not in found]
            cancelled.ids = found
            cancelled.final = {i: s for i, s in cancelled.final.items() if i not in found}
            if not cancelled.held or self._signals.intents_applied.closed:
                return cancelled
            try:
                async with asyncio.timeout_at(until):
                    await intents_applied.wait()
            except TimeoutError:
                return cancelled

    async def _cancel(self, find: _Find) -> Cancelled:
        now = self._clock()
        cancelled = await self._database.write(
            lambda c: cancelling.cancel_selected(c, find(c), now)
        )
        crash_point("job.cancel.recorded")
        for job_id in cancelled.ids:
            log.debug("job cancelled", job_id=job_id)
        self._signals.stops.send(cancelled.stopping)
        if cancelled.jobs_ready:
            self._signals.jobs_ready.send()
        if cancelled.progressed:
            self._signals.progress.set()
        return cancelled

    async def _stopped(self, job_ids: Sequence[str], until: float) -> Sequence[Sequence[Any]]:
        """Returns jobs once their workers have stopped, or the time is over."""
        with self._signals.ends.watch(job_ids) as ends:
            # Who ended before the watch began is seen here, who ends after that is announced.
            rows = await self._database.read(lambda c: reads.jobs(c, job_ids))
            running = {row[0] for row in rows if row[_STATUS] == _CANCELING}
            while running and await ends.news(until):
                running.difference_update(ends.take())
        return await self._database.read(lambda c: reads.jobs(c, job_ids))


def _still_added(job_id: str) -> str:
    return f"job {job_id} is still being added"
