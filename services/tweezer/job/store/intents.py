"""Applies what BatchService wants of its batches."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Connection, bindparam, select, update

from tweezer.database.bell import ring, ring_for
from tweezer.database.locks import has_many_writers
from tweezer.job.models import JOB, QUEUED_ADDITION, QUEUED_BATCH
from tweezer.job.store import cancelling, progress, words
from tweezer.job.store.counts import Tally
from tweezer.job.store.progress import Progress
from tweezer.lifecycle import FINAL_JOB_STATUSES


@dataclass(frozen=True, slots=True)
class Intent:
    """What should happen to a batch."""

    batch_id: str
    version: int
    released_additions: Sequence[str]
    cancelled: bool
    paused: bool
    open: bool = False


@dataclass(slots=True)
class Applied:
    """What came of some intents."""

    jobs_ready: bool = False  #: whether there may be something to lease
    released: bool = False  #: whether held jobs were released
    progressed: bool = False  #: whether there is something to report
    missing_additions: list[str] = field(default_factory=list)  #: named, but not stored
    stopping: list[str] = field(default_factory=list)  #: leases whose work must stop
    progress: list[Progress] = field(default_factory=list)  #: of the batches, after it


def apply(connection: Connection, intents: Sequence[Intent], now: int) -> Applied:
    """Applies intents that are newer than what is known, and their effect on the counts."""
    applied = Applied()
    tally = Tally()
    if has_many_writers(connection):
        _lock_jobs(connection, intents)
    for intent in sorted(intents, key=lambda intent: intent.batch_id):  # all lock in one order
        _apply(connection, intent, applied, tally, now)
    tally.write(connection, now)
    applied.progressed = bool(tally)
    _tell_others(connection, applied)
    applied.progress = progress.of_batches(connection, [intent.batch_id for intent in intents])
    return applied


def _tell_others(connection: Connection, applied: Applied) -> None:
    if applied.jobs_ready:
        ring(connection, words.JOBS_READY)
    if applied.released:
        ring(connection, words.RELEASED)
    ring_for(connection, words.STOPS, applied.stopping)


def _lock_jobs(connection: Connection, intents: Sequence[Intent]) -> None:
    """Locks the jobs that are about to be cancelled, paused or let go on.

    Jobs come before their batches, as for whoever leases or ends them, and all jobs before the
    first is changed: one that goes from waiting to running and back meanwhile is not missed.
    """
    wanted = {intent.batch_id: intent for intent in intents}
    touched = [
        batch_id
        for batch_id, paused in connection.execute(_PAUSED, {"of_batches": list(wanted)})
        if wanted[batch_id].cancelled or wanted[batch_id].paused != paused
    ]
    if touched:
        connection.execute(_LOCK_JOBS, {"of_batches": touched})


def _apply(
    connection: Connection, intent: Intent, applied: Applied, tally: Tally, now: int
) -> None:
    batch = connection.execute(_BATCH, {"of_batch": intent.batch_id}).first()
    if batch is None:
        # An open batch without jobs so far. Intents carry the whole of what is wanted, so this
        # one need not be kept: the one that releases the first jobs says it again.
        applied.missing_additions += intent.released_additions
        return
    version, was_paused, was_open, exclusive = batch
    if intent.version <= version:
        return
    connection.execute(
        _WANT,
        {
            "of_batch": intent.batch_id,
            "version": intent.version,
            "want_cancelled": intent.cancelled,
            "want_paused": intent.paused,
            "want_open": intent.open,
        },
    )
    if intent.paused != was_paused:
        connection.execute(_HOLD_BACK, {"of_batch": intent.batch_id, "is_ready": was_paused})
    released = _release(connection, intent, applied)
    applied.released |= released
    if intent.cancelled:
        in_batch = (JOB.c.batch_id == intent.batch_id,)
        applied.stopping += cancelling.cancel(connection, in_batch, tally, now)
    elif not intent.paused:
        applied.jobs_ready |= released or was_paused
    # A batch that is finished leaves its exclusive device to the next.
    applied.jobs_ready |= exclusive and (intent.cancelled or (was_open and not intent.open))


def _release(connection: Connection, intent: Intent, applied: Applied) -> bool:
    """Releases the jobs of the additions that the intent names; says whether there were any."""
    named = {"of_batch": intent.batch_id, "additions": list(intent.released_additions)}
    stored = connection.execute(_ADDITIONS, named).all()
    held = [
        {
            "of_batch": intent.batch_id,
            "addition": id_,
            "first": first_order,
            "last": first_order + jobs_count - 1,
            "is_ready": not intent.paused,
        }
        for id_, first_order, jobs_count, released in stored
        if not released
    ]
    if held:
        connection.execute(_RELEASE_ADDITION, held)
        connection.execute(_RELEASE_JOBS, held)
    known = {row[0] for row in stored}
    applied.missing_additions += [id_ for id_ in intent.released_additions if id_ not in known]
    return bool(held)


_BATCH: Final = (
    select(
        QUEUED_BATCH.c.intent_version,
        QUEUED_BATCH.c.paused,
        QUEUED_BATCH.c.open,
        QUEUED_BATCH.c.exclusive,
    )
    .where(QUEUED_BATCH.c.id == bindparam("of_batch"))
    .with_for_update(key_share=True)  # jobs may be stored meanwhile
)
_PAUSED: Final = select(QUEUED_BATCH.c.id, QUEUED_BATCH.c.paused).where(
    QUEUED_BATCH.c.id.in_(bindparam("of_batches", expanding=True))
)
_LOCK_JOBS: Final = (
    select(JOB.c.seq)
    .where(
        JOB.c.batch_id.in_(bindparam("of_batches", expanding=True)),
        JOB.c.status.not_in([status.value for status in FINAL_JOB_STATUSES]),
        JOB.c.released,
    )
    .order_by(JOB.c.seq)
    .with_for_update()
)
_WANT: Final = (
    update(QUEUED_BATCH)
    .where(QUEUED_BATCH.c.id == bindparam("of_batch"))
    .values(
        intent_version=bindparam("version"),
        cancelled=bindparam("want_cancelled"),
        paused=bindparam("want_paused"),
        open=bindparam("want_open"),
    )
)
_ADDITIONS: Final = (
    select(
        QUEUED_ADDITION.c.id,
        QUEUED_ADDITION.c.first_order,
        QUEUED_ADDITION.c.jobs_count,
        QUEUED_ADDITION.c.released,
    )
    .where(
        QUEUED_ADDITION.c.batch_id == bindparam("of_batch"),
        QUEUED_ADDITION.c.id.in_(bindparam("additions", expanding=True)),
    )
    .with_for_update()
)
_RELEASE_ADDITION: Final = (
    update(QUEUED_ADDITION)
    .where(QUEUED_ADDITION.c.id == bindparam("addition"))
    .values(released=True)
)
_RELEASE_JOBS: Final = (
    update(JOB)
    .where(
        JOB.c.batch_id == bindparam("of_batch"),
        JOB.c.creation_order.between(bindparam("first"), bindparam("last")),
    )
    .values(released=True, ready=bindparam("is_ready"))
)
_HOLD_BACK: Final = (
    update(JOB)
    .where(
        JOB.c.batch_id == bindparam("of_batch"),
        JOB.c.released,
        JOB.c.status.not_in([status.value for status in FINAL_JOB_STATUSES]),
    )
    .values(ready=bindparam("is_ready"))
)
