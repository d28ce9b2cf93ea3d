"""Applies what JobService reports."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import structlog
from sqlalchemy import Connection, bindparam, update

from tweezer.batch.models import BATCH
from tweezer.batch.store.loads import change_unfinished
from tweezer.batch.store.rows import job_counts
from tweezer.batch.store.state import BatchState, derived, lock_all
from tweezer.batch.store.words import CHANGED
from tweezer.database.bell import ring_for

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


class _Change(NamedTuple):
    """What a report does to its batch."""

    row: dict[str, Any]
    unfinished_jobs: int  #: more of them than before


def apply_reports(connection: Connection, reports: Sequence[Report], now: int) -> Applied:
    """Applies the reports that are newer than what is known."""
    applied = Applied([], [])
    unfinished: Counter[str] = Counter()
    rows: list[dict[str, Any]] = []
    newest = {report.batch_id: report for report in sorted(reports, key=lambda r: r.version)}
    states = lock_all(connection, newest)
    for batch_id, report in newest.items():
        state = states.get(batch_id)
        if state is None:
            applied.unknown_batch_ids.append(batch_id)
        elif (change := _change(report, state, now)) is not None:
            applied.changed_batch_ids.append(batch_id)
            rows.append(change.row)
            unfinished[state.project_id] += change.unfinished_jobs
    if rows:
        connection.execute(_APPLY, rows)
    change_unfinished(connection, unfinished)
    ring_for(connection, CHANGED, applied.changed_batch_ids)
    return applied


def _change(report: Report, state: BatchState, now: int) -> _Change | None:
    """Returns what a report changes, or None when that is nothing."""
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
    row = {
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
    }
    return _Change(row, counts.unfinished - state.counts().unfinished)
