"""Reports outcomes to JobService, in small groups, until each is acknowledged."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

import grpc
import structlog

from tweezer.execution.attempts import PASSING
from tweezer.internal.v1.lease_service_pb2 import FinishJobsRequest, JobOutcome
from tweezer.internal.v1.lease_service_pb2_grpc import LeaseServiceStub
from tweezer.process.backoff import Backoff
from tweezer.process.crash_points import crash_point

log = structlog.get_logger(__name__)

#: How long to gather outcomes while jobs are running, and while more of them wait for a worker, in
#: seconds. A call costs the services several times what an outcome in it does.
_GATHER_S: Final = 0.02
_GATHER_BUSY_S: Final = 0.2

#: Outcomes in one call.
_MAX_GROUP: Final = 256


def gather_s(jobs: int, capacity: int) -> float:
    """Returns how long to gather outcomes, in seconds, when so many more jobs run or wait."""
    if jobs == 0:
        return 0.0
    return _GATHER_S if jobs <= capacity else _GATHER_BUSY_S


class OutcomeReporter:
    """Sends outcomes, again and again until they are acknowledged or refused.

    A refused outcome belongs to a lease that was lost meanwhile. It is dropped: somebody else
    has the job now, or nobody wants it any more.
    """

    def __init__(
        self,
        service: LeaseServiceStub,
        *,
        max_group_bytes: int,
        gather_s: Callable[[], float],
        on_settled: Callable[[str], None],
    ) -> None:
        self._service, self._max_group_bytes = service, max_group_bytes
        self._gather_s, self._on_settled = gather_s, on_settled
        self._waiting: deque[JobOutcome] = deque()
        self._waiting_bytes = 0
        self._max_group = _MAX_GROUP
        self._some = asyncio.Event()

    @property
    def waiting_bytes(self) -> int:
        """Size of the outcomes that are not settled yet."""
        return self._waiting_bytes

    def add(self, outcome: JobOutcome) -> None:
        """Takes an outcome to report."""
        self._waiting.append(outcome)
        self._waiting_bytes += outcome.ByteSize()
        self._some.set()

    async def run(self) -> None:
        """Reports outcomes for ever."""
        backoff = Backoff()
        while True:
            await self._some.wait()
            if (wait_s := self._gather_s()) > 0:
                # Not a wait for anything: others that end meanwhile go in the same call.
                await asyncio.sleep(wait_s)
            group = self._group()
            crash_point("execution.outcomes.ready")
            try:
                response = await self._service.FinishJobs(FinishJobsRequest(outcomes=group))
            except grpc.aio.AioRpcError as error:
                await self._recover(group, error, backoff)
            else:
                backoff.reset()
                crash_point("execution.outcomes.reported")
                self._max_group = _MAX_GROUP
                self._settle(group, frozenset(response.refused_tokens))

    def _group(self) -> list[JobOutcome]:
        group: list[JobOutcome] = []
        size = 0
        for outcome in self._waiting:
            size += outcome.ByteSize()
            if group and (size > self._max_group_bytes or len(group) == self._max_group):
                break
            group.append(outcome)
        return group

    def _settle(self, group: list[JobOutcome], refused: frozenset[str]) -> None:
        for outcome in group:
            self._remove_first()
            if outcome.token in refused:
                log.info("an outcome was refused: its lease is lost", token=outcome.token)
            self._on_settled(outcome.token)

    def _remove_first(self) -> JobOutcome:
        outcome = self._waiting.popleft()
        self._waiting_bytes -= outcome.ByteSize()
        if not self._waiting:
            self._some.clear()
        return outcome

    async def _recover(
        self, group: list[JobOutcome], error: grpc.aio.AioRpcError, backoff: Backoff
    ) -> None:
        wait_s = backoff.wait_s()
        log.warning(
            "outcomes could not be reported",
            outcomes=len(group),
            waiting=len(self._waiting),
            code=error.code().name,
            details=error.details(),
            next_attempt_in_s=round(wait_s, 2),
        )
        if len(group) == 1:
            # The next one shall not wait for it, should the fault be in this one.
            outcome = self._remove_first()
            if error.code() in PASSING:
                self.add(outcome)
            else:
                self._give_up(outcome, error)
        self._max_group = 1
        await asyncio.sleep(wait_s)

    def _give_up(self, outcome: JobOutcome, error: grpc.aio.AioRpcError) -> None:
        if outcome.WhichOneof("outcome") == "result":
            reason = f"The results could not be stored: {error.details()}"
            self.add(JobOutcome(token=outcome.token, failure=reason))
        else:
            log.error("an outcome is not accepted", token=outcome.token, details=error.details())
            self._on_settled(outcome.token)
