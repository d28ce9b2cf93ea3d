"""Ends leases: by the word of their holders, or because their time ran out."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

import orjson
from sqlalchemy import Connection, Update, bindparam, select, update

from tweezer.database.bell import ring, ring_for
from tweezer.job.models import JOB
from tweezer.job.outcomes import HeldJob, Outcome, Verdict, exhausted, judge, loss
from tweezer.job.store import storage, words
from tweezer.job.store.changes import columns_in
from tweezer.job.store.counts import Tally
from tweezer.job.tokens import job_number
from tweezer.lifecycle import FINAL_JOB_STATUSES, JobEvent, JobStatus, after, transitions

#: Leases ended in one transaction by the sweep: it must not hold up the workers' calls.
_EXPIRED_AT_ONCE: Final = 500

_OUT_OF_TIME: Final = "it no longer answered."
_UNASKED: Final = "it stopped without having been asked to."


@dataclass(frozen=True, slots=True)
class Ending:
    """How the holder of a lease says that it ended."""

    token: str
    outcome: Outcome
    reason: str | None = None  #: of a failure or a loss
    result_key: str | None = None  #: where the result was put
    result_bytes: int | None = None  #: its size
    slurm_job_id: str | None = None
    slurm_cluster_name: str | None = None


@dataclass(slots=True)
class Ended:
    """What came of the ends of some leases."""

    refused: list[str] = field(default_factory=list)  #: tokens that hold no job
    ownerless: list[str] = field(default_factory=list)  #: keys of results that are not used
    jobs: list[HeldJob] = field(default_factory=list)  #: as they were before
    events: list[JobEvent] = field(default_factory=list)  #: what happened to each of them
    jobs_ready: bool = False  #: whether there may be something to lease


def held_jobs(connection: Connection, tokens: Iterable[str]) -> dict[int, HeldJob]:
    """Returns the jobs that some tokens are for, by number, locked until the transaction ends."""
    numbers = [number for token in tokens if (number := job_number(token)) is not None]
    jobs = map(_held_job, connection.execute(_BY_NUMBER, {"numbers": numbers}))
    return {job.seq: job for job in jobs}


def end(connection: Connection, endings: Sequence[Ending], max_attempts: int, now: int) -> Ended:
    """Ends leases, each with its outcome; a repetition changes nothing."""
    jobs = held_jobs(connection, (ending.token for ending in endings))
    ended = Ended()
    changes = _Changes(max_attempts, now)
    for ending in endings:
        number = job_number(ending.token)
        job = jobs.get(number) if number is not None else None
        verdict = judge(job, ending.token, ending.outcome, max_attempts)
        if verdict is Verdict.REFUSED:
            ended.refused.append(ending.token)
        elif job is not None and isinstance(verdict, JobEvent):
            changes.add(job, verdict, ending)
            ended.jobs.append(job)
            ended.events.append(verdict)
        # A repetition names what is the job's result already.
        owned = verdict is JobEvent.COMPLETE or (
            job is not None and job.result_key == ending.result_key
        )
        if ending.result_key is not None and not owned:
            ended.ownerless.append(ending.result_key)
    ended.jobs_ready = changes.write(connection)
    _tell_others(connection, ended)
    return ended


def expire(connection: Connection, max_attempts: int, now: int) -> Ended:
    """Ends leases whose time has run out, some of them when there are many."""
    ended = Ended(jobs=[_held_job(row) for row in connection.execute(_EXPIRED, {"now": now})])
    changes = _Changes(max_attempts, now)
    for job in ended.jobs:
        event = loss(job, max_attempts)
        changes.add(job, event, None)
        ended.events.append(event)
    ended.jobs_ready = changes.write(connection)
    _tell_others(connection, ended)
    ring_for(connection, words.STOPS, (job.lease_token for job in ended.jobs if job.lease_token))
    return ended


def _tell_others(connection: Connection, ended: Ended) -> None:
    if ended.jobs_ready:
        ring(connection, words.JOBS_READY)
    # Who cancels a job waits for this; nobody waits for the ends of others.
    stopped = (
        job.id
        for job, event in zip(ended.jobs, ended.events, strict=True)
        if event is JobEvent.STOPPED
    )
    ring_for(connection, words.STOPPED, stopped)


class _Changes:
    """Collects changes of status, so that alike ones run as one statement."""

    def __init__(self, max_attempts: int, now: int) -> None:
        self._max_attempts, self._now = max_attempts, now
        self._groups: dict[tuple[JobEvent, JobStatus], list[dict[str, object]]] = defaultdict(list)
        self._tally = Tally()
        self._stored: list[tuple[str, int]] = []  # sizes of results by project
        self._returned = False

    def add(self, job: HeldJob, event: JobEvent, ending: Ending | None) -> None:
        """Records that a lease ends by an event; `ending` is what its holder said, if anything."""
        target = after(job.status, event)
        self._tally.moved(job.batch_id, job.status, target)
        # The end of a job also lets an exclusive device go on.
        self._returned |= job.exclusive or (job.ready and target is JobStatus.PENDING)
        final = target in FINAL_JOB_STATUSES
        result = ending if event is JobEvent.COMPLETE else None
        if result and result.result_bytes:
            self._stored.append((job.project_id, result.result_bytes))
        self._groups[event, job.status].append(
            {
                "number": job.seq,
                "held_token": job.lease_token,
                "now": self._now,
                "sentences": self._errors(job, event, ending),
                "put_at": result.result_key if result else None,
                "size": result.result_bytes if result else None,
                "last_token": ending.token if ending else job.ended_token,
                "last_outcome": ending.outcome.value if ending else job.ended_outcome,
                "cluster_job": ending.slurm_job_id if ending and final else None,
                "cluster": ending.slurm_cluster_name if ending and final else None,
            }
        )

    def _errors(self, job: HeldJob, event: JobEvent, ending: Ending | None) -> str | None:
        if event is JobEvent.FAIL and ending:
            sentence = ending.reason or "The job failed."
        elif event is JobEvent.EXHAUST:
            reason = _OUT_OF_TIME if ending is None else ending.reason or _UNASKED
            sentence = exhausted(job.attempt, reason)
        else:
            return None
        return orjson.dumps([sentence]).decode()

    def write(self, connection: Connection) -> bool:
        """Writes what was recorded and says whether jobs can be leased again."""
        for (event, source), rows in self._groups.items():
            changed = connection.execute(_end(event, source), rows).rowcount
            if changed != len(rows):
                raise RuntimeError(f"{len(rows)} locked jobs, but {changed} took {event}")
        self._tally.write(connection, self._now)
        storage.count(connection, self._stored)
        return self._returned


def _held_job(row: Sequence[Any]) -> HeldJob:
    seq, id_, batch_id, project_id, status, *rest = row
    return HeldJob(seq, id_, batch_id, project_id, JobStatus(status), *rest)


@cache
def _end(event: JobEvent, source: JobStatus) -> Update:
    """Returns the guarded change of one held job."""
    attempts = {"attempt": JOB.c.attempt - 1} if event is JobEvent.RELEASE else {}
    return (
        update(JOB)
        .where(
            JOB.c.seq == bindparam("number"),
            JOB.c.status == source.value,
            JOB.c.lease_token == bindparam("held_token"),
        )
        .values(
            **columns_in(transitions(event)[source], bindparam("now")),
            errors=bindparam("sentences"),
            result_key=bindparam("put_at"),
            result_bytes=bindparam("size"),
            ended_token=bindparam("last_token"),
            ended_outcome=bindparam("last_outcome"),
            slurm_job_id=bindparam("cluster_job"),
            slurm_cluster_name=bindparam("cluster"),
            **attempts,
        )
    )


_HELD_JOB: Final = select(
    JOB.c.seq,
    JOB.c.id,
    JOB.c.batch_id,
    JOB.c.project_id,
    JOB.c.status,
    JOB.c.ready,
    JOB.c.attempt,
    JOB.c.lease_token,
    JOB.c.ended_token,
    JOB.c.ended_outcome,
    JOB.c.result_key,
    JOB.c.exclusive,
    JOB.c.device_type,
    JOB.c.start_at,
)
_BY_NUMBER: Final = (
    _HELD_JOB.where(JOB.c.seq.in_(bindparam("numbers", expanding=True)))
    .order_by(JOB.c.seq)  # all lock rows in one order
    .with_for_update()
)
_EXPIRED: Final = (
    _HELD_JOB.where(JOB.c.lease_expires_at <= bindparam("now"))
    .order_by(JOB.c.lease_expires_at)
    .limit(_EXPIRED_AT_ONCE)
    .with_for_update(skip_locked=True)  # somebody is just ending or extending the others
)
