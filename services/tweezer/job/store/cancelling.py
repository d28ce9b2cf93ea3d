"""Cancels jobs, whoever asks for it: what waits ends, what runs is to be stopped."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, Update, bindparam, select, update

from tweezer.database.bell import ring, ring_for
from tweezer.job.filters import Condition
from tweezer.job.models import JOB
from tweezer.job.store import words
from tweezer.job.store.changes import columns_in
from tweezer.job.store.counts import Tally
from tweezer.lifecycle import FINAL_JOB_STATUSES, JobEvent, JobStatus, transitions


@dataclass(slots=True)
class Cancelled:
    """What came of a wish to cancel some jobs."""

    ids: list[str] = field(default_factory=list)  #: of those that are not final, by rank
    held: list[str] = field(default_factory=list)  #: of those that are held: they stay as they are
    stopping: list[str] = field(default_factory=list)  #: leases whose work must stop
    final: dict[str, JobStatus] = field(default_factory=dict)  #: those that were final before
    progressed: bool = False  #: whether there is something to report
    jobs_ready: bool = False  #: whether there may be something to lease


def cancel(connection: Connection, where: Sequence[Condition], tally: Tally, now: int) -> list[str]:
    """Cancels jobs that are not held and returns the tokens of the leases that must stop.

    Held jobs are left alone: whether they exist at all is not yet decided.
    """
    stopping: list[str] = []
    for source, target in transitions(JobEvent.CANCEL).items():
        change = cancel_jobs(source, target).where(*where)
        for row in connection.execute(change, {"now": now}):
            batch_id, token = row
            tally.moved(batch_id, source, target)
            if token is not None:
                stopping.append(token)
    return stopping


def cancel_selected(connection: Connection, where: Sequence[Condition], now: int) -> Cancelled:
    """Cancels jobs, with the effect on the counts; those that are final are told apart."""
    tally = Tally()
    cancelled = Cancelled()
    for row in connection.execute(states(where)):
        id_, status, released, exclusive = row
        if status in FINAL_JOB_STATUSES:
            cancelled.final[id_] = JobStatus(status)
        elif released:
            cancelled.ids.append(id_)
            # A batch that is finished leaves its exclusive device to the next.
            cancelled.jobs_ready |= exclusive
        else:
            cancelled.held.append(id_)
    cancelled.stopping = cancel(connection, where, tally, now)
    tally.write(connection, now)
    cancelled.progressed = bool(tally)
    ring_for(connection, words.STOPS, cancelled.stopping)
    if cancelled.jobs_ready:
        ring(connection, words.JOBS_READY)
    return cancelled


def states(where: Sequence[Condition]) -> Select[Any]:
    """Returns the query for what some jobs are before they are cancelled."""
    jobs = select(JOB.c.id, JOB.c.status, JOB.c.released, JOB.c.exclusive)
    return jobs.where(*where).order_by(JOB.c.creation_order).with_for_update()


def not_final() -> ColumnElement[bool]:
    """Returns the condition of jobs that can still change."""
    return JOB.c.status.not_in(_FINAL)


@cache
def cancel_jobs(source: JobStatus, target: JobStatus) -> Update:
    """Returns the guarded change; which jobs it is for must be added."""
    return (
        update(JOB)
        .where(JOB.c.status == source.value, JOB.c.released)
        .values(**columns_in(target, bindparam("now")))
        .returning(JOB.c.batch_id, JOB.c.lease_token)
    )


_FINAL: Final = sorted(status.value for status in FINAL_JOB_STATUSES)
