"""Keeps the leases of held jobs, and stops the work that must stop."""

import asyncio
from collections.abc import Mapping

import grpc

from tweezer.execution.attempts import pause
from tweezer.execution.held_job import Ending, HeldJob
from tweezer.execution.lease_calls import LeaseCalls
from tweezer.process.backoff import Backoff


class Renewals:
    """Has one renewal open at any time, whose answer says at once what must stop.

    A renewal covers the jobs that were held when it began, with the progress they had then. One
    that is out of date is given up for another, but not before `interval_s` has passed since it
    began: however short the jobs are, there are few calls, and a cancelled job is known after this
    time at the latest. Nothing is lost with a call that is given up, since JobService keeps naming
    a lease until its work has stopped.
    """

    def __init__(
        self, calls: LeaseCalls, held: Mapping[str, HeldJob], *, interval_s: float
    ) -> None:
        self._calls, self._held, self._interval_s = calls, held, interval_s
        self._news = asyncio.Event()
        self._not_before = 0.0
        self._open: asyncio.Timeout | None = None

    def announce(self) -> None:
        """Takes note that there is a new job, or that one has made progress."""
        self._news.set()
        if self._open is not None and self._open.when() is None:
            self._open.reschedule(self._not_before)

    async def run(self) -> None:
        """Renews leases for ever; raises StartFailed when JobService refuses this service."""
        loop = asyncio.get_running_loop()
        backoff = Backoff()
        while True:
            jobs = await self._wait_for_jobs()
            self._not_before = loop.time() + self._interval_s
            try:
                news = await self._renew(jobs)
            except grpc.aio.AioRpcError as error:
                await pause("leases cannot be renewed at present", error, backoff)
                continue
            backoff.reset()
            # A JobService that holds nothing open, or names the same leases again, is not asked
            # without end. Answers with news are few: a job is stopped only once.
            if not news:
                await asyncio.sleep(self._not_before - loop.time())

    async def _wait_for_jobs(self) -> list[HeldJob]:
        while not (jobs := [job for job in self._held.values() if not job.stopping]):
            self._news.clear()
            await self._news.wait()
        return jobs

    async def _renew(self, jobs: list[HeldJob]) -> bool:
        """Makes one renewal; returns whether it was given up or has stopped a job."""
        try:
            async with asyncio.timeout(None) as self._open:
                stop_tokens = await self._calls.renew(jobs)
        except TimeoutError:
            return True
        finally:
            self._open = None
        stopped = [token for token in stop_tokens if self._stop(token)]
        return bool(stopped)

    def _stop(self, token: str) -> bool:
        job = self._held.get(token)
        return job is not None and job.end(Ending.STOPPED)
