"""ProgressService: takes what JobService reports."""

from tweezer.batch.store.additions import give_up_uncommitted, uncommitted
from tweezer.batch.store.progress import Report, apply_reports
from tweezer.batch.watch import BatchChanges
from tweezer.database.database import Database
from tweezer.database.timestamps import Clock, from_timestamp, now_micros
from tweezer.internal.v1.progress_service_pb2 import (
    BatchProgress,
    ReportProgressRequest,
    ReportProgressResponse,
    ResolveAdditionsRequest,
    ResolveAdditionsResponse,
)
from tweezer.internal.v1.progress_service_pb2_grpc import ProgressServiceServicer
from tweezer.rpc.context import Context


class ProgressServicer(ProgressServiceServicer):
    """Serves ProgressService."""

    def __init__(
        self, database: Database, changes: BatchChanges, clock: Clock = now_micros
    ) -> None:
        self._database, self._changes, self._clock = database, changes, clock

    async def ReportProgress(
        self, request: ReportProgressRequest, context: Context
    ) -> ReportProgressResponse:
        """Takes the newest progress of some batches."""
        reports = [_report(progress) for progress in request.reports]
        now = self._clock()
        applied = await self._database.write(lambda c: apply_reports(c, reports, now))
        self._changes.announce(applied.changed_batch_ids)
        return ReportProgressResponse(unknown_batch_ids=applied.unknown_batch_ids)

    async def ResolveAdditions(
        self, request: ResolveAdditionsRequest, context: Context
    ) -> ResolveAdditionsResponse:
        """Says which additions were never committed; from then on they cannot be."""
        asked, now = list(request.addition_ids), self._clock()
        unknown = await self._database.read(lambda c: uncommitted(c, asked))
        if unknown:
            unknown = await self._database.write(lambda c: give_up_uncommitted(c, unknown, now))
        return ResolveAdditionsResponse(unknown_addition_ids=unknown)


def _report(progress: BatchProgress) -> Report:
    counts = progress.job_counts
    return Report(
        batch_id=progress.batch_id,
        version=progress.version,
        running=counts.running,
        canceling=counts.canceling,
        done=counts.done,
        error=counts.error,
        canceled=counts.canceled,
        start_at=from_timestamp(progress.start_time) if progress.HasField("start_time") else None,
        end_at=from_timestamp(progress.end_time) if progress.HasField("end_time") else None,
    )
