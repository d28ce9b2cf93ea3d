"""Deletes finished batches, when an operator asks for it or they are older than the setting."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, dataclass
from typing import Final

import grpc
import structlog

from tweezer.batch.recovery import Recovery
from tweezer.batch.store import clean_up
from tweezer.batch.store.clean_up import EndedBatch
from tweezer.database.database import Database
from tweezer.database.timestamps import Clock, now_micros
from tweezer.internal.v1.queue_service_pb2 import ForgetBatchesRequest
from tweezer.internal.v1.queue_service_pb2_grpc import QueueServiceStub
from tweezer.process.backoff import Backoff

log = structlog.get_logger(__name__)

#: Batches that are deleted at once, and jobs unless a single batch has more: a transaction of the
#: one service or the other must not hold up all calls.
_BATCHES_AT_ONCE: Final = 100
_JOBS_AT_ONCE: Final = 10_000

#: How long JobService may take for that, in seconds.
_DEADLINE_S: Final = 60.0

#: Waiting times when JobService is away, in seconds.
_FIRST_RETRY_S: Final = 1.0
_LAST_RETRY_S: Final = 300.0

_DAY_S: Final = 24 * 3600


@dataclass(slots=True)
class Vacuumed:
    """What was deleted, or would be."""

    batches: int = 0
    jobs: int = 0
    results: int = 0
    programs: int = 0
    left_batches: int = 0
    """Old enough, and kept because JobService has jobs of theirs that are not final."""


class Vacuum:
    """Deletes batches: first what JobService has of them, then what is here.

    A crash in between leaves a batch without jobs, which the next time finds and deletes.
    """

    def __init__(self, database: Database, queue: QueueServiceStub, recovery: Recovery) -> None:
        self._database, self._queue, self._recovery = database, queue, recovery

    async def preview(self, before: int) -> Vacuumed:
        """Counts what ended before that time."""
        found = Vacuumed()
        for project_id in await self._database.scan(clean_up.projects):
            batches, jobs = await self._count(project_id, before)
            found.batches += batches
            found.jobs += jobs
        found.programs = await self._database.scan(
            lambda c: clean_up.count_unused_programs(c, before)
        )
        return found

    async def delete(self, before: int) -> Vacuumed:
        """Deletes what ended before that time, and what nothing needs after that."""
        done = Vacuumed()
        for project_id in await self._database.scan(clean_up.projects):
            async for some in self._ended(project_id, before):
                await self._forget(some, done)
        done.programs = await self._recovery.delete_unused_programs()
        return done

    async def _count(self, project_id: str, before: int) -> tuple[int, int]:
        return await self._database.scan(lambda c: clean_up.count_ended(c, project_id, before))

    async def _ended(self, project_id: str, before: int) -> AsyncIterator[Sequence[EndedBatch]]:
        last: EndedBatch | None = None
        while some := _chunk(await self._next(project_id, before, last)):
            yield some
            last = some[-1]

    async def _next(
        self, project_id: str, before: int, after: EndedBatch | None
    ) -> list[EndedBatch]:
        return await self._database.scan(
            lambda c: clean_up.ended_batches(c, project_id, before, after, _BATCHES_AT_ONCE)
        )

    async def _forget(self, some: Sequence[EndedBatch], done: Vacuumed) -> None:
        ids = [batch.id for batch in some]
        response = await self._queue.ForgetBatches(
            ForgetBatchesRequest(batch_ids=ids), timeout=_DEADLINE_S
        )
        forgotten = sorted(set(response.forgotten_batch_ids).intersection(ids))
        done.batches += await self._database.write(lambda c: clean_up.delete_batches(c, forgotten))
        done.jobs += response.deleted_jobs
        done.results += response.deleted_results
        done.left_batches += len(ids) - len(forgotten)


class RetentionLoop:
    """Deletes finished batches once a day when they are older than so many days."""

    def __init__(self, vacuum: Vacuum, days: float, clock: Clock = now_micros) -> None:
        self._vacuum, self._days, self._clock = vacuum, days, clock
        self._backoff = Backoff(_FIRST_RETRY_S, _LAST_RETRY_S)

    async def run(self) -> None:
        """Deletes for ever."""
        while True:
            try:
                await self._delete()
            except grpc.aio.AioRpcError as error:
                log.warning("JobService is away; old batches stay", code=error.code().name)
                await asyncio.sleep(self._backoff.wait_s())
            else:
                self._backoff.reset()
                await asyncio.sleep(_DAY_S)

    async def _delete(self) -> None:
        done = await self._vacuum.delete(oldest_kept(self._days, self._clock()))
        log.info("old batches deleted", **asdict(done))


def oldest_kept(days: float, now: int) -> int:
    """Returns the time since which batches must have ended to be kept."""
    return now - round(days * _DAY_S * 1_000_000)


def _chunk(batches: Sequence[EndedBatch]) -> Sequence[EndedBatch]:
    jobs = 0
    for index, batch in enumerate(batches):
        jobs += batch.jobs_count
        if index and jobs > _JOBS_AT_ONCE:
            return batches[:index]
    return batches
