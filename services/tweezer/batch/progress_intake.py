"""Takes in how far batches have come, whichever call brings it."""

from collections.abc import Callable, Iterable

from sqlalchemy import Connection

from tweezer.batch.store.progress import Applied, Report, apply_reports
from tweezer.batch.watch import BatchChanges
from tweezer.database.database import Database
from tweezer.database.timestamps import Clock, from_timestamp, now_micros
from tweezer.internal.v1.progress_service_pb2 import BatchProgress


class ProgressIntake:
    """Applies progress and tells those who watch."""

    def __init__(
        self, database: Database, changes: BatchChanges, clock: Clock = now_micros
    ) -> None:
        self._database, self._changes, self._clock = database, changes, clock

    async def take(
        self,
        progress: Iterable[BatchProgress],
        also: Callable[[Connection], None] = lambda _: None,
    ) -> list[str]:
        """Applies what is newer than what is known, and returns the batches that are not known.

        `also` is done in the same transaction.
        """
        reports = [_report(message) for message in progress]
        now = self._clock()

        def apply(connection: Connection) -> Applied:
            also(connection)
            return apply_reports(connection, reports, now)

        applied = await self._database.write(apply)
        if applied.changed_batch_ids:
            self._changes.announce(applied.changed_batch_ids)
        return applied.unknown_batch_ids


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
