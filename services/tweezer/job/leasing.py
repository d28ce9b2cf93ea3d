"""Hands out jobs and takes in what became of them."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import structlog
from sqlalchemy import Connection

from tweezer.database.database import Database
from tweezer.database.timestamps import Clock
from tweezer.job.metrics import JobMetrics
from tweezer.job.outcomes import HeldJob, Outcome
from tweezer.job.results import ResultStore, result_key
from tweezer.job.signals import Signals, to_the_end
from tweezer.job.store import endings, leases
from tweezer.job.store.endings import Ended, Ending
from tweezer.job.store.leases import LeasedBatch, Renewal
from tweezer.job.tokens import job_number
from tweezer.lifecycle import JobEvent, JobStatus
from tweezer.process.crash_points import crash_point
from tweezer.process.metrics import Metrics

log = structlog.get_logger(__name__)

#: A lease whose end is noticed so much later than it came was not watched, in microseconds.
_LATE_US: Final = 2_000_000

#: Events of a worker that was lost.
_LOSSES: Final = frozenset({JobEvent.LOSE, JobEvent.EXHAUST})


@dataclass(frozen=True, slots=True)
class LeaseRequest:
    """What an execution service asks for."""

    worker_id: str
    device_types: Sequence[str]
    max_jobs: int
    duration: int  #: of the leases, in microseconds


class Leasing:
    """Leases jobs, extends leases and ends them."""

    def __init__(
        self,
        database: Database,
        results: ResultStore,
        signals: Signals,
        clock: Clock,
        max_attempts: int,
        metrics: JobMetrics | None = None,
    ) -> None:
        self._database, self._results = database, results
        self._signals, self._clock = signals, clock
        self._max_attempts = max_attempts
        self._metrics = metrics or JobMetrics(Metrics())

    async def lease(self, request: LeaseRequest, wait_s: float) -> list[LeasedBatch]:
        """Leases the jobs next in line, waiting for the first to appear.

        Returns nothing when none appears in time or the process is about to end.
        """
        deadline = asyncio.get_running_loop().time() + wait_s
        while not self._signals.jobs_ready.closed:
            more = self._signals.jobs_ready.next()
            leased = await to_the_end(self._take(request), undo=self._give_back)
            if leased:
                return leased
            try:
                async with asyncio.timeout_at(deadline):
                    await more.wait()
            except TimeoutError:
                break
        return []

    async def _take(self, request: LeaseRequest) -> list[LeasedBatch]:
        now = self._clock()
        expires_at = now + request.duration
        leased = await self._database.write(
            lambda c: leases.take(c, request.device_types, request.max_jobs, expires_at, now)
        )
        if leased:
            crash_point("job.leases.taken")
            self._signals.lease_end.set(expires_at)
            self._signals.progress.set()
            self._metrics.leased(leased, now)
            _log_leased(leased, request.worker_id)
        return leased

    async def _give_back(self, leased: list[LeasedBatch]) -> None:
        # The caller went away before it got its jobs: that must not cost them an attempt.
        tokens = [lease.token for batch in leased for lease in batch.leases]
        if tokens:
            await self._end([Ending(token, Outcome.RELEASED) for token in tokens])

    async def renew(
        self,
        renewals: Sequence[Renewal],
        duration: int,
        wait_s: float = 0,
        former: Iterable[str] = (),
    ) -> list[str]:
        """Extends leases and returns the tokens whose work must stop, waiting for the first.

        Returns nothing when none must stop in time, the process is about to end, or a later call
        names one of the tokens as `former`.
        """
        self._signals.stops.release_those(former)
        until = asyncio.get_running_loop().time() + wait_s
        now = self._clock()
        with self._signals.stops.watch(renewal.token for renewal in renewals) as stops:
            stopping = await self._database.write(
                lambda c: leases.renew(c, renewals, now + duration, now)
            )
            self._signals.lease_end.set(now + duration)  # it may end earlier than before
            if not stopping and wait_s > 0 and await stops.news(until):
                stopping = stops.take()
        return stopping

    async def finish(self, ends: Sequence[Ending], results: Mapping[str, bytes]) -> list[str]:
        """Ends leases, results by token, and returns the tokens that no longer hold a job.

        Results are put into the store first and recorded after that, all in one transaction: a job
        that is DONE has its result.
        """
        keys = await self._keys(results)
        await self._results.put({key: results[token] for token, key in keys.items()})
        crash_point("job.results.put")
        keyed = [
            replace(ending, result_key=key, result_bytes=len(results[ending.token]))
            if (key := keys.get(ending.token)) is not None
            else ending
            for ending in ends
        ]
        ended = await to_the_end(self._end(keyed))
        return ended.refused

    async def _keys(self, results: Mapping[str, bytes]) -> dict[str, str]:
        """Returns where to put the results of the tokens that hold a running job.

        The others will be refused, or are repetitions. A token that holds none now never will.
        """
        if not results:
            return {}
        jobs = await self._database.read(lambda c: endings.held_jobs(c, results))
        return {
            token: result_key(job, token)
            for token in results
            if (job := _job_of(jobs, token)) is not None and job.status is JobStatus.RUNNING
        }

    async def _end(self, ends: Sequence[Ending]) -> Ended:
        now = self._clock()
        ended = await self._database.write(lambda c: endings.end(c, ends, self._max_attempts, now))
        crash_point("job.endings.recorded")
        self._record(ended, now)
        self._make_known(ended)
        await self._results.remove(ended.ownerless)
        return ended

    async def expire(self, spare_us: int = 0) -> bool:
        """Ends the leases whose time has run out; says whether some were spared instead.

        When that is noticed late, this process or its database was away, and nobody could take
        renewals meanwhile. So as not to cost an attempt, those leases last `spare_us` longer.
        """
        now = self._clock()
        any_spared = False
        while True:
            ended, spared = await self._database.write(lambda c: self._expire(c, now, spare_us))
            any_spared |= spared
            if not ended.jobs:
                return any_spared
            crash_point("job.expiry.recorded")
            self._metrics.expired(len(ended.jobs))
            self._record(ended, now)
            self._make_known(ended)
            self._signals.stops.send(job.lease_token for job in ended.jobs if job.lease_token)
            # This process may have ended after it had put a result and before it recorded it.
            await self._results.remove(
                result_key(job, job.lease_token) for job in ended.jobs if job.lease_token
            )

    def _expire(self, connection: Connection, now: int, spare_us: int) -> tuple[Ended, bool]:
        present = self._clock()  # later than `now` when the database was locked
        earliest = leases.earliest_expiry(connection)
        spare = spare_us > 0 and earliest is not None and present - earliest > _LATE_US
        if spare:
            leases.postpone_expiry(connection, present + spare_us)
        return endings.expire(connection, self._max_attempts, now), spare

    def _record(self, ended: Ended, now: int) -> None:
        self._metrics.ended(ended.jobs, ended.events, now)
        for job, event in zip(ended.jobs, ended.events, strict=True):
            write = log.warning if event in _LOSSES else log.debug
            write(
                "lease ended",
                what=event.name,
                batch_id=job.batch_id,
                job_id=job.id,
                attempt=job.attempt,
            )

    def _make_known(self, ended: Ended) -> None:
        if ended.jobs_ready:
            self._signals.jobs_ready.send()
        if ended.jobs:
            self._signals.ends.send(job.id for job in ended.jobs)
            self._signals.progress.set()


def _log_leased(leased: Iterable[LeasedBatch], worker_id: str) -> None:
    for batch in leased:
        for lease in batch.leases:
            log.debug(
                "job leased",
                batch_id=batch.batch_id,
                job_id=lease.job_id,
                attempt=lease.attempt,
                worker=worker_id,
            )


def _job_of(jobs: Mapping[int, HeldJob], token: str) -> HeldJob | None:
    """Returns the job that a token holds."""
    number = job_number(token)
    job = jobs.get(number) if number is not None else None
    return job if job is not None and job.lease_token == token else None
