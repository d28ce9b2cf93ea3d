"""Applies what BatchService wants of its batches."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection, bindparam, select, update

from tweezer.database.bell import ring, ring_for
from tweezer.database.locks import has_many_writers
from tweezer.job.models import JOB, QUEUED_ADDITION, QUEUED_BATCH
from tweezer.job.store import additions, cancelling, progress, words
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
    in_doubt: bool = False  #: whether BatchService must be asked about additions now
    stopping: list[str] = field(default_factory=list)  #: leases whose work must stop
    progress: list[Progress] = field(default_factory=list)  #: of the batches, after it


@dataclass(slots=True)
class _Changes:
    """What intents change, as rows for the statements."""

    wants: list[dict[str, Any]] = field(default_factory=list)
    ready: list[dict[str, Any]] = field(default_factory=list)  #: of batches paused or resumed
    releases: list[dict[str, Any]] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)


def apply(connection: Connection, intents: Sequence[Intent], now: int) -> Applied:
    """Applies intents that are newer than what is known, and their effect on the counts."""
    applied, changes, tally = Applied(), _Changes(), Tally()
    newest = {intent.batch_id: intent for intent in sorted(intents, key=lambda i: i.version)}
    if has_many_writers(connection):
        _lock_jobs(connection, newest)
    batches = {row.id: row for row in connection.execute(_BATCHES, {"of_batches": list(newest)})}
    stored = _additions(connection, newest.values())
    for batch_id, intent in newest.items():
        _apply(intent, batches.get(batch_id), stored, applied, changes)
    _write(connection, changes)
    if changes.closed:
        # BatchService commits no addition to a batch that is closed, and the intent that closes it
        # names all that were committed before. What is held now is left of interrupted calls, and
        # a list would show it as waiting in a batch that has ended.
        applied.in_doubt = additions.doubt(connection, changes.closed, now)
    for batch_id in sorted(changes.cancelled):
        in_batch = (JOB.c.batch_id == batch_id,)
        applied.stopping += cancelling.cancel(connection, in_batch, tally, now)
    tally.write(connection, now)
    applied.progressed = bool(tally)
    _tell_others(connection, applied)
    applied.progress = progress.of_batches(connection, list(newest))
    return applied


def _tell_others(connection: Connection, applied: Applied) -> None:
    if applied.jobs_ready:
        ring(connection, words.JOBS_READY)
    if applied.released:
        ring(connection, words.RELEASED)
    ring_for(connection, words.STOPS, applied.stopping)


def _lock_jobs(connection: Connection, wanted: Mapping[str, Intent]) -> None:
    """Locks the jobs that are about to be cancelled, paused or let go on.

    Jobs come before their batches, as for whoever leases or ends them, and all jobs before the
    first is changed: one that goes from waiting to running and back meanwhile is not missed.
    """
    touched = [
        batch_id
        for batch_id, paused in connection.execute(_PAUSED, {"of_batches": list(wanted)})
        if wanted[batch_id].cancelled or wanted[batch_id].paused != paused
    ]
    if touched:
        connection.execute(_LOCK_JOBS, {"of_batches": touched})


def _additions(connection: Connection, intents: Iterable[Intent]) -> dict[str, Any]:
    """Returns the additions that are named and stored, by identifier."""
    named = [addition for intent in intents for addition in intent.released_additions]
    found: dict[str, Any] = {}
    for first in range(0, len(named), _AT_ONCE):
        some = named[first : first + _AT_ONCE]
        found |= {row.id: row for row in connection.execute(_ADDITIONS, {"additions": some})}
    return found


def _apply(
    intent: Intent,
    batch: Any,
    additions: Mapping[str, Any],
    applied: Applied,
    changes: _Changes,
) -> None:
    if batch is None:
        # An open batch without jobs so far. Intents carry the whole of what is wanted, so this
        # one need not be kept: the one that releases the first jobs says it again.
        applied.missing_additions += intent.released_additions
        return
    if intent.version <= batch.intent_version:
        return
    changes.wants.append(
        {
            "of_batch": intent.batch_id,
            "version": intent.version,
            "want_cancelled": intent.cancelled,
            "want_paused": intent.paused,
            "want_open": intent.open,
        },
    )
    if intent.paused != batch.paused:
        changes.ready.append({"of_batch": intent.batch_id, "is_ready": batch.paused})
    released = _release(intent, additions, applied, changes)
    applied.released |= released
    if not intent.open:
        changes.closed.append(intent.batch_id)
    if intent.cancelled:
        changes.cancelled.append(intent.batch_id)
    elif not intent.paused:
        applied.jobs_ready |= released or batch.paused
    # A batch that is finished leaves its exclusive device to the next.
    closed = batch.open and not intent.open
    applied.jobs_ready |= batch.exclusive and (intent.cancelled or closed)


def _release(
    intent: Intent, additions: Mapping[str, Any], applied: Applied, changes: _Changes
) -> bool:
    """Has the jobs of the additions released that the intent names; says whether there are any."""
    stored = {
        id_: additions[id_]
        for id_ in intent.released_additions
        if id_ in additions and additions[id_].batch_id == intent.batch_id
    }
    held = [
        {
            "of_batch": intent.batch_id,
            "addition": addition.id,
            "first": addition.first_order,
            "last": addition.first_order + addition.jobs_count - 1,
            "is_ready": not intent.paused,
        }
        for addition in stored.values()
        if not addition.released
    ]
    changes.releases += held
    applied.missing_additions += [id_ for id_ in intent.released_additions if id_ not in stored]
    return bool(held)


def _write(connection: Connection, changes: _Changes) -> None:
    for statement, rows in (
        (_WANT, changes.wants),
        (_SET_READY, changes.ready),
        (_RELEASE_ADDITION, changes.releases),
        (_RELEASE_JOBS, changes.releases),
    ):
        if rows:
            connection.execute(statement, rows)


#: Most values of one statement; databases bound how many it can take.
_AT_ONCE: Final = 1000

_BATCHES: Final = (
    select(
        QUEUED_BATCH.c.id,
        QUEUED_BATCH.c.intent_version,
        QUEUED_BATCH.c.paused,
        QUEUED_BATCH.c.open,
        QUEUED_BATCH.c.exclusive,
    )
    .where(QUEUED_BATCH.c.id.in_(bindparam("of_batches", expanding=True)))
    .order_by(QUEUED_BATCH.c.id)  # all lock in one order
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
        QUEUED_ADDITION.c.batch_id,
        QUEUED_ADDITION.c.first_order,
        QUEUED_ADDITION.c.jobs_count,
        QUEUED_ADDITION.c.released,
    )
    .where(QUEUED_ADDITION.c.id.in_(bindparam("additions", expanding=True)))
    .order_by(QUEUED_ADDITION.c.id)
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
_SET_READY: Final = (
    update(JOB)
    .where(
        JOB.c.batch_id == bindparam("of_batch"),
        JOB.c.released,
        JOB.c.status.not_in([status.value for status in FINAL_JOB_STATUSES]),
    )
    .values(ready=bindparam("is_ready"))
)
