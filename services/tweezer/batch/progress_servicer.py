"""ProgressService: takes what JobService reports."""

from tweezer.batch.progress_intake import ProgressIntake
from tweezer.batch.store.additions import give_up_uncommitted, uncommitted
from tweezer.database.database import Database
from tweezer.database.timestamps import Clock, now_micros
from tweezer.internal.v1.progress_service_pb2 import (
    ReportProgressRequest,
    ReportProgressResponse,
    ResolveAdditionsRequest,
    ResolveAdditionsResponse,
)
from tweezer.internal.v1.progress_service_pb2_grpc import ProgressServiceServicer
from tweezer.process.crash_points import crash_point
from tweezer.rpc.context import Context


class ProgressServicer(ProgressServiceServicer):
    """Serves ProgressService."""

    def __init__(
        self, database: Database, progress: ProgressIntake, clock: Clock = now_micros
    ) -> None:
        self._database, self._progress, self._clock = database, progress, clock

    async def ReportProgress(
        self, request: ReportProgressRequest, context: Context
    ) -> ReportProgressResponse:
        """Takes the newest progress of some batches."""
        unknown = await self._progress.take(request.reports)
        crash_point("batch.progress.applied")
        return ReportProgressResponse(unknown_batch_ids=unknown)

    async def ResolveAdditions(
        self, request: ResolveAdditionsRequest, context: Context
    ) -> ResolveAdditionsResponse:
        """Says which additions were never committed; from then on they cannot be."""
        asked, now = list(request.addition_ids), self._clock()
        unknown = await self._database.read(lambda c: uncommitted(c, asked))
        if unknown:
            unknown = await self._database.write(lambda c: give_up_uncommitted(c, unknown, now))
            crash_point("batch.additions.given_up")
        return ResolveAdditionsResponse(unknown_addition_ids=unknown)
