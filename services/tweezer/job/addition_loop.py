"""Drops jobs whose addition was interrupted before BatchService had committed it."""

import asyncio
from collections.abc import Sequence

import grpc
import structlog

from tweezer.database.database import Database
from tweezer.database.timestamps import Clock
from tweezer.internal.v1 import progress_service_pb2 as pb
from tweezer.internal.v1.progress_service_pb2_grpc import ProgressServiceStub
from tweezer.job.metrics import JobMetrics
from tweezer.job.signals import Alarm, Pulse
from tweezer.job.store import additions
from tweezer.process.backoff import Backoff
from tweezer.process.crash_points import crash_point

log = structlog.get_logger(__name__)


class AdditionLoop:
    """Asks BatchService about additions that stay held, and drops those it never committed."""

    def __init__(
        self,
        database: Database,
        service: ProgressServiceStub,
        alarm: Alarm,
        jobs_ready: Pulse,
        clock: Clock,
        grace_s: float,
        metrics: JobMetrics,
    ) -> None:
        self._database, self._service = database, service
        self._alarm, self._jobs_ready, self._clock = alarm, jobs_ready, clock
        self._grace = round(grace_s * 1_000_000)
        self._metrics = metrics

    async def run(self) -> None:
        """Sweeps for ever."""
        while True:
            self._alarm.clear()
            self._alarm.set(await self._database.read(additions.earliest_check))
            await self._alarm.ring()
            await self.sweep()

    async def sweep(self) -> None:
        """Deals with the additions that are due."""
        backoff = Backoff()
        while held := await self._due():
            try:
                unknown = await self._never_committed(held)
            except grpc.aio.AioRpcError as error:
                log.warning("BatchService does not say what it committed", code=error.code().name)
                await asyncio.sleep(backoff.wait_s())
                continue
            await self._settle(held, unknown)

    async def _due(self) -> list[str]:
        now = self._clock()
        return await self._database.read(lambda c: additions.due(c, now))

    async def _never_committed(self, held: Sequence[str]) -> Sequence[str]:
        request = pb.ResolveAdditionsRequest(addition_ids=held)
        response = await self._service.ResolveAdditions(request)
        return response.unknown_addition_ids

    async def _settle(self, held: Sequence[str], unknown: Sequence[str]) -> None:
        later = self._clock() + self._grace
        named = set(held)
        orphans = [addition_id for addition_id in unknown if addition_id in named]
        # The others are committed: an intent that releases them is on its way.
        kept = sorted(named.difference(orphans))
        await self._database.write(lambda c: additions.postpone(c, kept, later))
        if orphans:
            crash_point("job.additions.resolved")
            jobs = await self._database.write(lambda c: additions.drop(c, orphans))
            crash_point("job.additions.dropped")
            # An exclusive device may have been kept for these jobs.
            self._jobs_ready.send()
            self._metrics.recovered("addition dropped", len(orphans))
            log.warning("jobs of interrupted calls dropped", additions=orphans, jobs=jobs)
