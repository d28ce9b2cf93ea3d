"""Applies what JobService reports."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import structlog
from sqlalchemy import Connection, bindparam, select, update

from tweezer.batch.models import BATCH
from tweezer.batch.store.rows import STATE_COLUMNS, StateRow, job_counts
from tweezer.lifecycle import FINAL_BATCH_STATUSES, batch_status

log = structlog.get_logger(__name__)

# Locked where rows can be: the version is compared and changed by one transaction at a time.
_STATE: Final = select(*STATE_COLUMNS).where(BATCH.c.id == bindparam("id")).with_for_update()

_APPLY: Final = (
    update(BATCH)
    .where(BATCH.c.id == bindparam("batch_id"), BATCH.c.progress_version < bindparam("version"))
    .values(
        progress_version=bindparam("version"),
        status=bindparam("new_status"),
        running=bindparam("running"),
        canceling=bindparam("canceling"),
        done=bindparam("done"),
        error=bindparam("error"),
        canceled=bindparam("canceled"),
        start_at=bindparam("start_at"),
        end_at=bindparam("end_at"),
        updated_at=bindparam("now"),
    )
)


@dataclass(frozen=True, slots=True)
class Report:
    """How far a batch has come, as JobService says."""

    batch_id: str
    version: int
    running: int
    canceling: int
    done: int
    error: int
    canceled: int
    start_at: int | None
    end_at: int | None


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of some reports."""

    changed_batch_ids: list[str]
    unknown_batch_ids: list[str]


def apply_reports(connection: Connection, reports: Iterable[Report], now: int) -> Applied:
    """Applies the reports that are newer than what is known."""
    applied = Applied([], [])
    for report in reports:
        row = connection.execute(_STATE, {"id": report.batch_id}).first()
        if row is None:
            applied.unknown_batch_ids.append(report.batch_id)
        elif _apply(connection, report, StateRow(*row), now):
            applied.changed_batch_ids.append(report.batch_id)
    return applied


def _apply(connection: Connection, report: Report, state: StateRow, now: int) -> bool:
    if report.version <= state.progress_version:
        return False
    counts = job_counts(
        state.jobs_count,
        report.running,
        report.canceling,
        report.done,
        report.error,
        report.canceled,
    )
    if counts.pending < 0:
        # One wrong report must not hold up those of the other batches.
        log.error("a report counts more jobs than the batch has", batch_id=report.batch_id)
        return False
    status = batch_status(state.intent, counts)
    final = status in FINAL_BATCH_STATUSES
    connection.execute(
        _APPLY,
        {
            "batch_id": report.batch_id,
            "version": report.version,
            "new_status": status.value,
            "running": report.running,
            "canceling": report.canceling,
            "done": report.done,
            "error": report.error,
            "canceled": report.canceled,
            "start_at": report.start_at,
            # A batch without jobs that ended becomes final now.
            "end_at": (report.end_at or now) if final else None,
            "now": now,
        },
    )
    return True
