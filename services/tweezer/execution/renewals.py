"""Keeps the leases of held jobs, and stops the work that must stop."""

import asyncio
from collections.abc import Iterable, Mapping

import grpc
import structlog

from tweezer.execution.attempts import pause
from tweezer.execution.held_job import Ending, HeldJob
from tweezer.execution.lease_calls import LeaseCalls
from tweezer.process.backoff import Backoff

log = structlog.get_logger(__name__)


class Renewals:
    """Has one renewal open at any time, whose answer says at once what must stop.

    A renewal covers the jobs that were held when it began, with the progress they had then. One
    that is out of date is followed by another, but not before `interval_s` has passed since it
    began: however short the jobs are, there are few calls, and a cancelled job is known after this
    time at the latest. JobService then answers the one before. It is not cancelled: gRPC keeps a
    kilobyte for every call that is, and never gives it back.
    """

    def __init__(
        self, calls: LeaseCalls, held: Mapping[str, HeldJob], *, interval_s: float
    ) -> None:
        self._calls, self._held, self._interval_s = calls, held, interval_s
        self._news = asyncio.Event()
        self._not_before = 0.0
        self._open: asyncio.Timeout | None = None
        #: A token of each renewal that is out of date and was not answered yet.
        self._former: dict[asyncio.Task[list[str]], str] = {}

    def announce(self) -> None:
        """Takes note that there is a new job, or that one has made progress."""
        self._news.set()
        if self._open is not None and self._open.when() is None:
            self._open.reschedule(self._not_before)

    async def run(self) -> None:
        """Renews leases for ever; raises StartFailed when JobService refuses this service."""
        try:
            await self._renew_for_ever()
        finally:
            for call in self._former:
                call.cancel()

    async def _renew_for_ever(self) -> None:
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
        """Makes one renewal; returns whether it is out of date or has stopped a job."""
        call = asyncio.create_task(self._calls.renew(jobs, list(self._former.values())))
        try:
            async with asyncio.timeout(None) as self._open:
                stop_tokens = await asyncio.shield(call)
        except TimeoutError:
            self._former[call] = jobs[0].token
            call.add_done_callback(self._take_former)
            return True
        except asyncio.CancelledError:
            call.cancel()
            raise
        finally:
            self._open = None
        return self._stop(stop_tokens)

    def _take_former(self, call: asyncio.Task[list[str]]) -> None:
        """Takes the answer to a renewal that another has followed."""
        del self._former[call]
        if call.cancelled():
            return
        error = call.exception()
        if error is None:
            self._stop(call.result())
        else:
            # If something is the matter, the one that followed is told so as well.
            log.debug("a former renewal failed", reason=str(error))

    def _stop(self, tokens: Iterable[str]) -> bool:
        """Stops work; says whether there was any."""
        stopped = False
        for token in tokens:
            job = self._held.get(token)
            stopped |= job is not None and job.end(Ending.STOPPED)
        return stopped
