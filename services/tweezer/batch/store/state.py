"""The state of a batch: read to be changed, and changed as a whole."""

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, bindparam, select, update

from tweezer.batch.models import BATCH
from tweezer.batch.store.rows import job_counts
from tweezer.batch.store.words import CHANGED
from tweezer.database.bell import ring_for
from tweezer.lifecycle import (
    FINAL_BATCH_STATUSES,
    BatchIntent,
    BatchStatus,
    JobCounts,
    batch_status,
)


class BatchState(NamedTuple):
    """What a status is made of."""

    seq: int
    id: str
    project_id: str
    open: bool
    cancelled: bool
    timed_out: bool
    paused: bool
    intent_version: int
    progress_version: int
    status: str
    jobs_count: int
    running: int
    canceling: int
    done: int
    error: int
    canceled: int
    end_at: int | None
    idle_since: int | None
    webhook: str | None
    unannounced: bool

    @property
    def intent(self) -> BatchIntent:
        """What was asked for."""
        return BatchIntent(self.open, self.cancelled, self.timed_out, self.paused)

    @property
    def is_final(self) -> bool:
        """Whether nothing can change it any more."""
        return BatchStatus(self.status) in FINAL_BATCH_STATUSES

    def counts(self, added: int = 0) -> JobCounts:
        """Returns the job counts with some more jobs."""
        return job_counts(
            self.jobs_count + added,
            self.running,
            self.canceling,
            self.done,
            self.error,
            self.canceled,
        )


# Locked where rows can be: what is read and what follows from it belong together. All lock in one
# order.
_LOCK: Final = (
    select(*(BATCH.c[name] for name in BatchState._fields))
    .where(BATCH.c.id.in_(bindparam("ids", expanding=True)))
    .order_by(BATCH.c.id)
    .with_for_update()
)

#: Most values of one statement; databases bound how many it can take.
_AT_ONCE: Final = 1000

_WANT: Final = (
    update(BATCH)
    .where(BATCH.c.id == bindparam("batch_id"), BATCH.c.intent_version == bindparam("version"))
    .values(
        open=bindparam("is_open"),
        cancelled=bindparam("is_cancelled"),
        timed_out=bindparam("is_timed_out"),
        paused=bindparam("is_paused"),
        intent_version=bindparam("new_version"),
        jobs_count=bindparam("new_jobs_count"),
        status=bindparam("new_status"),
        end_at=bindparam("new_end_at"),
        idle_since=bindparam("new_idle_since"),
        unannounced=bindparam("new_unannounced"),
        updated_at=bindparam("now"),
    )
)


def lock(connection: Connection, batch_id: str) -> BatchState | None:
    """Returns the state of a batch that is about to be changed."""
    return lock_all(connection, [batch_id]).get(batch_id)


def lock_all(connection: Connection, batch_ids: Iterable[str]) -> dict[str, BatchState]:
    """Returns the states of batches that are about to be changed, by identifier."""
    wanted = sorted(set(batch_ids))
    states: dict[str, BatchState] = {}
    for first in range(0, len(wanted), _AT_ONCE):
        rows = connection.execute(_LOCK, {"ids": wanted[first : first + _AT_ONCE]})
        states |= {row.id: BatchState(*row) for row in rows}
    return states


def derived(
    state: BatchState, intent: BatchIntent, counts: JobCounts, ended: int | None, now: int
) -> dict[str, Any]:
    """Returns the columns that follow from what is asked for and from the job counts.

    `ended` is when it became final, if it is; it stays what it was once it is known.
    """
    status = batch_status(intent, counts)
    final = status in FINAL_BATCH_STATUSES
    idle = intent.open and counts.unfinished == 0
    ends = final and not state.is_final
    return {
        "new_status": status.value,
        "new_end_at": (state.end_at or ended or now) if final else None,
        "new_idle_since": (state.idle_since or now) if idle else None,
        "new_unannounced": state.unannounced or (ends and state.webhook is not None),
    }


def want(
    connection: Connection, state: BatchState, intent: BatchIntent, now: int, added: int = 0
) -> None:
    """Changes what is asked of a batch, and how many jobs it has; JobService must be told."""
    connection.execute(
        _WANT,
        {
            "batch_id": state.id,
            "version": state.intent_version,
            "is_open": intent.open,
            "is_cancelled": intent.cancelled,
            "is_timed_out": intent.timed_out,
            "is_paused": intent.paused,
            "new_version": state.intent_version + 1,
            "new_jobs_count": state.jobs_count + added,
            "now": now,
            **derived(state, intent, state.counts(added), None, now),
        },
    )
    ring_for(connection, CHANGED, [state.id])
