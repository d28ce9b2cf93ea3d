"""Leases jobs, runs them on the engine, reports what became of them."""

import asyncio
import time
from typing import Final

import grpc
import structlog

from tweezer.execution.attempts import pause
from tweezer.execution.emulators.task import JobError, Task
from tweezer.execution.engines.engine import Engine, EngineAway, WorkerLost
from tweezer.execution.engines.place import Place
from tweezer.execution.held_job import Ending, HeldJob
from tweezer.execution.lease_calls import LeaseCalls
from tweezer.execution.metrics import AttemptRecord
from tweezer.execution.outcomes import OutcomeReporter, gather_s
from tweezer.execution.prefetch import Prefetch
from tweezer.execution.programs import ProgramMissing, Programs
from tweezer.execution.renewals import Renewals
from tweezer.execution.settings import ExecutionSettings
from tweezer.execution.time_limits import TimeLimits
from tweezer.internal.v1.lease_service_pb2 import JobLease, JobOutcome, LeasedBatch, Released
from tweezer.internal.v1.lease_service_pb2_grpc import LeaseServiceStub
from tweezer.process.backoff import Backoff
from tweezer.process.telemetry import Telemetry

log = structlog.get_logger(__name__)

#: How long to wait for the answer of the last call for jobs, in seconds.
_LAST_ANSWER_S: Final = 0.5


class LeaseLoop:
    """Keeps the engine busy with leased jobs.

    Three loops run side by side: one leases jobs as there is room for them, one renews the leases,
    passes on progress and learns which jobs must stop, and one reports outcomes. They die together.
    """

    def __init__(
        self,
        settings: ExecutionSettings,
        service: LeaseServiceStub,
        programs: Programs,
        engine: Engine,
        record: AttemptRecord | None = None,
    ) -> None:
        self._settings = settings
        self._calls = LeaseCalls(settings, service)
        self._programs, self._engine = programs, engine
        self._time_limits = TimeLimits(settings.job_time_limit_s, settings.job_time_limits)
        self._prefetch = Prefetch(lambda: engine.capacity, settings.max_prefetch)
        self._held: dict[str, HeldJob] = {}
        self._record = record or AttemptRecord(Telemetry())
        self._record.follow(capacity=lambda: engine.capacity, held=lambda: len(self._held))
        self._running = 0
        self._stopping = False
        self._changed = asyncio.Event()
        engine.watch_capacity(self._changed.set)
        self._renewals = Renewals(self._calls, self._held, interval_s=settings.lease_renewal_s)
        # Groups of half the largest message leave room for one large result beside small ones.
        self._reporter = OutcomeReporter(
            service,
            max_group_bytes=settings.max_message_bytes // 2,
            gather_s=lambda: gather_s(self._running, engine.capacity),
            on_settled=self._forget,
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Works until `stop` is set, then gives back what is not finished.

        Raises:
            ExceptionGroup: One of the loops, or the engine, failed; StartFailed in it when
                JobService refuses this service.
        """
        async with asyncio.TaskGroup() as group:
            leasing = group.create_task(self._lease(group), name="lease")
            renewing = group.create_task(self._renewals.run(), name="renew")
            reporting = group.create_task(self._reporter.run(), name="report")
            await stop.wait()
            await self._stop_leasing(leasing)
            await self._give_back()
            renewing.cancel()
            reporting.cancel()

    async def _stop_leasing(self, leasing: asyncio.Task[None]) -> None:
        self._stopping = True
        self._changed.set()
        # An answer under way holds leases. Where there are jobs it comes at once; a call that still
        # waits for some is cut off.
        await asyncio.wait([leasing], timeout=_LAST_ANSWER_S)
        leasing.cancel()
        await asyncio.wait([leasing])

    async def _give_back(self) -> None:
        for job in self._held.values():
            job.end(Ending.RELEASED)
        try:
            async with asyncio.timeout(self._settings.stop_grace_s):
                while self._held:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            log.warning("stops without acknowledgement: these leases run out", jobs=len(self._held))

    async def _lease(self, group: asyncio.TaskGroup) -> None:
        backoff = Backoff()
        while (room := await self._wait_for_room()) > 0:
            try:
                batches = await self._calls.lease(room)
            except grpc.aio.AioRpcError as error:
                await pause("no jobs can be leased at present", error, backoff)
                continue
            backoff.reset()
            for batch in batches:
                for lease in batch.leases:
                    self._begin(group, batch, lease)

    async def _wait_for_room(self) -> int:
        """Waits until a few jobs can be leased at once and returns how many; none to stop."""
        while not self._stopping:
            ahead = self._prefetch.jobs
            room = self._engine.capacity + ahead - self._running
            # Results that JobService does not take shall not pile up here.
            may = self._reporter.waiting_bytes < self._settings.max_message_bytes
            if may and room > ahead // 2:
                return room
            self._changed.clear()
            await self._changed.wait()
        return 0

    def _begin(self, group: asyncio.TaskGroup, batch: LeasedBatch, lease: JobLease) -> None:
        job = HeldJob(lease.token, lease.job_id)
        self._held[job.token] = job
        self._running += 1
        job.work = group.create_task(self._run_job(job, batch, lease), name=f"job {job.job_id}")
        # Not inside the task: one that is cancelled at once never begins.
        job.work.add_done_callback(lambda work: self._end(job, work))
        self._renewals.announce()

    def _end(self, job: HeldJob, work: asyncio.Task[JobOutcome]) -> None:
        job.work = None
        self._running -= 1
        if not work.cancelled() and work.exception() is None:
            self._reporter.add(job.located(work.result()))
        elif job.ending is not None:
            self._reporter.add(job.located(job.ended()))
        # Otherwise the whole service ends, because a part of it failed.
        self._changed.set()

    async def _run_job(self, job: HeldJob, batch: LeasedBatch, lease: JobLease) -> JobOutcome:
        with self._record.attempt(batch, lease) as attempt:
            return attempt.ended(await self._outcome(job, batch, lease))

    async def _outcome(self, job: HeldJob, batch: LeasedBatch, lease: JobLease) -> JobOutcome:
        try:
            task = await self._task(batch, lease)
            return JobOutcome(token=job.token, result=await self._run_on_engine(job, task))
        except JobError as error:
            return JobOutcome(token=job.token, failure=str(error))
        except (WorkerLost, ProgramMissing) as error:
            log.warning("a job was lost", attempt=lease.attempt, cause=str(error))
            return JobOutcome(token=job.token, lost=str(error))
        except EngineAway as error:
            log.warning("a job is given back", attempt=lease.attempt, cause=str(error))
            return JobOutcome(token=job.token, released=Released())

    async def _run_on_engine(self, job: HeldJob, task: Task) -> bytes:
        begun: float | None = None

        def follow(percentage: int) -> None:
            nonlocal begun
            if begun is None:
                begun = time.monotonic()
                self._record.begun()
            job.progress = percentage
            self._renewals.announce()

        def locate(place: Place) -> None:
            job.place = place

        try:
            return await self._time_limits.run(
                task.device_type, lambda report: self._engine.run(task, report, locate), follow
            )
        finally:
            if begun is not None:
                self._record.done()
                self._prefetch.learn(time.monotonic() - begun)

    async def _task(self, batch: LeasedBatch, lease: JobLease) -> Task:
        program_hash = lease.program_hash or batch.program_hash
        if not program_hash:
            raise JobError("Neither the job nor its batch has a sequence.")
        return task_of(
            batch,
            lease,
            program_hash,
            await self._programs.text(program_hash),
            self._settings,
        )

    def _forget(self, token: str) -> None:
        del self._held[token]
        self._changed.set()


def task_of(
    batch: LeasedBatch,
    lease: JobLease,
    program_hash: str,
    sequence: str,
    settings: ExecutionSettings,
) -> Task:
    """Returns what the engine needs to know about a leased job."""
    return Task(
        device_type=batch.device_type,
        sequence=sequence,
        sequence_hash=program_hash,
        limits=settings.execution_limits,
        integrator=settings.execution_integrator,
        share=settings.execution_share_emulations,
        runs=lease.runs if lease.HasField("runs") else None,
        variables_json=lease.variables_json if lease.HasField("variables_json") else None,
        backend_configuration=(
            batch.backend_configuration if batch.HasField("backend_configuration") else None
        ),
        configuration_json=(
            batch.configuration_json if batch.HasField("configuration_json") else None
        ),
    )
