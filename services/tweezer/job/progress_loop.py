"""Tells BatchService how far its batches have come: progress flows up."""

import asyncio
from collections.abc import Sequence
from typing import Final

import grpc
import structlog

from tweezer.database.database import Database
from tweezer.internal.v1 import progress_service_pb2 as pb
from tweezer.internal.v1.progress_service_pb2_grpc import ProgressServiceStub
from tweezer.job.conversion import progress_message
from tweezer.job.store import progress
from tweezer.job.store.progress import Progress
from tweezer.process.backoff import Backoff
from tweezer.process.crash_points import crash_point

log = structlog.get_logger(__name__)

#: Batches in one report.
_CHUNK: Final = 500

#: How many times as long to wait before the next report while all that moves is far from its end.
_FAR_FROM_THE_END: Final = 4


class ProgressLoop:
    """Reports each change once it is there; what happens between two reports is merged.

    What is not acknowledged is kept in the database, so that a restart resumes.
    """

    def __init__(
        self,
        database: Database,
        service: ProgressServiceStub,
        changed: asyncio.Event,
        interval_s: float,
    ) -> None:
        self._database, self._service = database, service
        self._changed, self._interval_s = changed, interval_s

    async def run(self) -> None:
        """Reports for ever."""
        self._changed.set()  # something may be left from before
        while True:
            await self._changed.wait()
            self._changed.clear()
            far = await self.report()
            await self._pause(self._interval_s * (_FAR_FROM_THE_END if far else 1))

    async def _pause(self, most_s: float) -> None:
        """Lets changes gather, so as not to report each step of busy batches.

        The end of a batch is reported at once: who has seen its last job done asks for it next.
        """
        until = asyncio.get_running_loop().time() + most_s
        gathered = False
        while await self._changes_before(until):
            gathered = True
            if await self._database.read(progress.any_end_unreported):
                break
        if gathered:
            self._changed.set()

    async def _changes_before(self, until: float) -> bool:
        if asyncio.get_running_loop().time() >= until:
            return False
        try:
            async with asyncio.timeout_at(until):
                await self._changed.wait()
        except TimeoutError:
            return False
        self._changed.clear()
        return True

    async def report(self) -> bool:
        """Reports everything that is not acknowledged, trying until BatchService takes it.

        Says whether jobs of every batch that was reported still wait: none is about to end.
        """
        behind, far = 0, True
        backoff = Backoff()
        while True:
            news = await self._next_unreported(behind)
            if not news:
                return behind > 0 and far
            try:
                unknown = await self._send(news)
            except grpc.aio.AioRpcError as error:
                log.warning("BatchService takes no progress", code=error.code().name)
                # Read again after that: by then there may be newer progress of the same batches.
                await asyncio.sleep(backoff.wait_s())
                continue
            backoff.reset()
            crash_point("job.progress.reported")
            await self._acknowledge(news, unknown)
            crash_point("job.progress.acknowledged")
            behind = news[-1].seq
            far &= all(each.counts.pending > 0 for each in news)

    async def _next_unreported(self, behind: int) -> list[Progress]:
        return await self._database.read(lambda c: progress.unreported(c, behind, _CHUNK))

    async def _send(self, news: Sequence[Progress]) -> Sequence[str]:
        request = pb.ReportProgressRequest(reports=[progress_message(each) for each in news])
        response = await self._service.ReportProgress(request)
        return response.unknown_batch_ids

    async def _acknowledge(self, news: Sequence[Progress], unknown: Sequence[str]) -> None:
        if unknown:
            # Progress begins after an intent, so BatchService did know them: its database was
            # lost or restored. Their jobs and results are kept, and there is nobody to tell.
            log.error("BatchService does not know batches that it had released", batches=unknown)
        versions = {each.batch_id: each.version for each in news}
        await self._database.write(lambda c: progress.acknowledge(c, versions))
