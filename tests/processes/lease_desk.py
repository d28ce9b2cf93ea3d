"""The job service's and the batch service's side, for tests of the lease loop."""

import asyncio
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

import grpc

from tweezer.internal.v1 import lease_service_pb2 as leases
from tweezer.internal.v1 import lease_service_pb2_grpc as leases_grpc
from tweezer.internal.v1 import program_service_pb2 as programs
from tweezer.internal.v1 import program_service_pb2_grpc as programs_grpc


@dataclass
class Desk:
    """Hands out leases and takes in outcomes; tests look at what happened."""

    queue: deque[tuple[str, leases.JobLease]] = field(default_factory=deque)
    """Leases that wait, each with the device type of its batch."""
    texts: dict[str, str] = field(default_factory=dict)
    """Sequences by hash."""
    asked: list[int] = field(default_factory=list)
    """How many jobs each call asked for."""
    leased: set[str] = field(default_factory=set)
    """Tokens that were handed out and have no outcome yet."""
    fetched: Counter[str] = field(default_factory=Counter)
    """How often each sequence was fetched."""
    progress: dict[str, list[int]] = field(default_factory=dict)
    """Percentages of each token, as renewed."""
    holds: bool = True
    """Whether renewals are held open while there is nothing to stop."""
    renewals: list[leases.RenewLeasesRequest] = field(default_factory=list)
    """The renewals, in the order of their arrival."""
    open_renewals: list[set[str]] = field(default_factory=list)
    """The tokens of each renewal that is held open."""
    answers_former: bool = True
    """Whether a renewal that another has followed is answered."""
    cancelled: int = 0
    """Renewals that their caller has given up."""
    stop_tokens: set[str] = field(default_factory=set)
    """Work that must stop."""
    lost_tokens: set[str] = field(default_factory=set)
    """Leases that are lost: their outcomes are refused."""
    outcomes: dict[str, leases.JobOutcome] = field(default_factory=dict)
    """What was accepted."""
    groups: list[int] = field(default_factory=list)
    """Outcomes in each call."""
    refused: list[str] = field(default_factory=list)
    """Tokens of refused outcomes."""
    failing: dict[str, list[grpc.StatusCode]] = field(default_factory=dict)
    """Statuses with which the next calls of a method fail."""
    too_large: int = 2**30
    """Results of more bytes are turned away."""
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    """Notified after everything that happens."""

    async def add(self, token: str, device_type: str = "EMU_FREE", **fields: Any) -> None:
        self.queue.append((device_type, leases.JobLease(token=token, job_id=token, **fields)))
        await self.notify()

    async def notify(self) -> None:
        async with self.changed:
            self.changed.notify_all()

    async def until(self, condition: Any) -> None:
        """Waits until something is true."""
        async with asyncio.timeout(30), self.changed:
            await self.changed.wait_for(condition)

    async def finished(self, *tokens: str) -> None:
        await self.until(lambda: self.outcomes.keys() >= set(tokens))

    async def fail_if_told(self, method: str, context: Any) -> None:
        if self.failing.get(method):
            await context.abort(self.failing[method].pop(0), "told to fail")

    async def stop(self, token: str) -> None:
        self.stop_tokens.add(token)
        await self.notify()

    def to_stop(self, held: set[str]) -> set[str]:
        return (self.stop_tokens | self.lost_tokens) & held

    def take(self, max_jobs: int) -> leases.LeaseJobsResponse:
        response = leases.LeaseJobsResponse()
        for _ in range(min(max_jobs, len(self.queue))):
            device_type, lease = self.queue.popleft()
            self.leased.add(lease.token)
            response.batches.add(device_type=device_type, leases=[lease])
        return response


class LeaseDesk(leases_grpc.LeaseServiceServicer):
    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def LeaseJobs(self, request: Any, context: Any) -> leases.LeaseJobsResponse:
        desk = self._desk
        await desk.fail_if_told("LeaseJobs", context)
        desk.asked.append(request.max_jobs)
        await desk.notify()
        try:
            async with asyncio.timeout(request.wait.ToSeconds()), desk.changed:
                await desk.changed.wait_for(lambda: desk.queue)
        except TimeoutError:
            return leases.LeaseJobsResponse()
        response = desk.take(request.max_jobs)
        await desk.notify()
        return response

    async def RenewLeases(self, request: Any, context: Any) -> leases.RenewLeasesResponse:
        desk = self._desk
        await desk.fail_if_told("RenewLeases", context)
        desk.renewals.append(request)
        former = set(request.former_tokens) if desk.answers_former else set()
        desk.open_renewals = [held for held in desk.open_renewals if not held & former]
        await desk.notify()
        for renewal in request.renewals:
            desk.progress.setdefault(renewal.token, []).append(renewal.progress)
        held = {renewal.token for renewal in request.renewals}
        if desk.holds:
            await self._hold(held, request.wait.ToMilliseconds() / 1000)
        await desk.notify()
        return leases.RenewLeasesResponse(stop_tokens=desk.to_stop(held))

    async def _hold(self, held: set[str], wait_s: float) -> None:
        desk = self._desk

        def is_open() -> bool:
            return any(each is held for each in desk.open_renewals)

        desk.open_renewals.append(held)
        await desk.notify()
        try:
            async with asyncio.timeout(wait_s), desk.changed:
                await desk.changed.wait_for(lambda: desk.to_stop(held) or not is_open())
        except TimeoutError:
            pass
        except asyncio.CancelledError:
            desk.cancelled += 1
            raise
        finally:
            desk.open_renewals = [each for each in desk.open_renewals if each is not held]

    async def FinishJobs(self, request: Any, context: Any) -> leases.FinishJobsResponse:
        desk = self._desk
        await desk.fail_if_told("FinishJobs", context)
        if any(len(outcome.result) > desk.too_large for outcome in request.outcomes):
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too large")
        desk.groups.append(len(request.outcomes))
        response = leases.FinishJobsResponse()
        for outcome in request.outcomes:
            desk.leased.discard(outcome.token)
            if outcome.token in desk.lost_tokens:
                response.refused_tokens.append(outcome.token)
                desk.refused.append(outcome.token)
            else:
                assert desk.outcomes.setdefault(outcome.token, outcome) == outcome
        await desk.notify()
        return response


class ProgramDesk(programs_grpc.ProgramServiceServicer):
    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def GetProgram(self, request: Any, context: Any) -> programs.GetProgramResponse:
        await self._desk.fail_if_told("GetProgram", context)
        self._desk.fetched[request.program_hash] += 1
        if request.program_hash not in self._desk.texts:
            await context.abort(grpc.StatusCode.NOT_FOUND, "there is no such sequence")
        return programs.GetProgramResponse(sequence=self._desk.texts[request.program_hash])

    async def BuildProgram(self, request: Any, context: Any) -> programs.BuildProgramResponse:
        raise AssertionError
