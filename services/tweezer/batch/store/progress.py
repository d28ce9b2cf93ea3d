"""Applies what JobService reports."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import structlog
from sqlalchemy import Connection, bindparam, update

from tweezer.batch.models import BATCH
from tweezer.batch.store.loads import change_unfinished
from tweezer.batch.store.rows import job_counts
from tweezer.batch.store.state import BatchState, derived, lock
from tweezer.batch.store.words import CHANGED
from tweezer.database.bell import ring_for
from tweezer.lifecycle import JobCounts

log = structlog.get_logger(__name__)

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
        end_at=bindparam("new_end_at"),
        idle_since=bindparam("new_idle_since"),
        unannounced=bindparam("new_unannounced"),
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
    unfinished: Counter[str] = Counter()
    for report in sorted(reports, key=lambda report: report.batch_id):  # all lock in one order
        state = lock(connection, report.batch_id)
        if state is None:
            applied.unknown_batch_ids.append(report.batch_id)
        elif (counts := _apply(connection, report, state, now)) is not None:
            applied.changed_batch_ids.append(report.batch_id)
            unfinished[state.project_id] += counts.unfinished - state.counts().unfinished
    change_unfinished(connection, unfinished)
    ring_for(connection, CHANGED, applied.changed_batch_ids)
    return applied


def _apply(connection: Connection, report: Report, state: BatchState, now: int) -> JobCounts | None:
    """Returns the job counts after a report, or None when it changes nothing."""
    if report.version <= state.progress_version:
        return None
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
        return None
    connection.execute(
        _APPLY,
        {
            "batch_id": report.batch_id,
            "version": report.version,
            "running": report.running,
            "canceling": report.canceling,
            "done": report.done,
            "error": report.error,
            "canceled": report.canceled,
            "start_at": report.start_at,
            "now": now,
            **derived(state, state.intent, counts, report.end_at, now),
        },
    )
    return counts
