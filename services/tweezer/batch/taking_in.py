"""Takes in batches and jobs: held by JobService, then committed here, then released."""

from collections.abc import Awaitable, Callable, Sequence

import grpc
import structlog

from tweezer.batch.checks.admission import Admission
from tweezer.batch.identifiers import new_addition_id
from tweezer.batch.intent_loop import IntentLoop
from tweezer.batch.limits import Limits
from tweezer.batch.new_batch import NewBatch, Owner, make_batch, make_repetition
from tweezer.batch.new_jobs import NewJobs, checked_job, enqueue_request
from tweezer.batch.store.additions import (
    commit_addition,
    require_open,
    require_room,
    reserve_orders,
)
from tweezer.batch.store.create import create_batch
from tweezer.batch.store.loads import Load, require_capacity
from tweezer.batch.store.requests import NamedRequest
from tweezer.batch.store.rows import BatchRow
from tweezer.batch.watch import BatchChanges
from tweezer.database.database import Database
from tweezer.database.timestamps import Clock, now_micros
from tweezer.internal.v1.queue_service_pb2 import ListBatchJobsRequest, QueuedJob
from tweezer.internal.v1.queue_service_pb2_grpc import QueueServiceStub
from tweezer.process.crash_points import crash_point
from tweezer.process.tracing import link_to_batch
from tweezer.rpc.errors import InvalidInput, NotAllowedNow
from tweezer.v1.batch_pb2 import NewJob
from tweezer.v1.batch_service_pb2 import CreateBatchRequest
from tweezer.v1.job_pb2 import JobFilter

log = structlog.get_logger(__name__)

#: Says which queue the batches of a project wait in.
QueuePriorityOf = Callable[[str], Awaitable[str]]


class TakingIn:
    """Creates batches, adds jobs to open ones, and repeats jobs of old ones."""

    def __init__(
        self,
        database: Database,
        admission: Admission,
        queue: QueueServiceStub,
        intents: IntentLoop,
        changes: BatchChanges,
        queue_priority_of: QueuePriorityOf,
        limits: Limits,
        clock: Clock = now_micros,
    ) -> None:
        self._database, self._admission, self._queue = database, admission, queue
        self._intents, self._changes = intents, changes
        self._queue_priority_of, self._limits, self._clock = queue_priority_of, limits, clock

    async def create(
        self,
        request: CreateBatchRequest,
        project_id: str,
        user_id: str,
        named: NamedRequest | None = None,
    ) -> NewBatch:
        """Creates a batch with its first jobs."""
        load = await self._require_capacity(project_id, 1, len(request.jobs))
        checked = await self._admission.check(request)
        owner = await self._owner(project_id, user_id)
        return await self._store(make_batch(request, checked, owner, self._clock()), load, named)

    async def add(
        self,
        batch: BatchRow,
        sequence: str | None,
        jobs: Sequence[NewJob],
        named: NamedRequest | None = None,
    ) -> NewJobs:
        """Adds jobs to an open batch: all of them or none."""
        if not batch.open:
            raise NotAllowedNow(f"batch {batch.id} is closed: no jobs can be added")
        load = await self._require_capacity(batch.project_id, 0, len(jobs))
        checked = await self._admission.check_added(batch.device_type, sequence, jobs)
        require_room(batch.jobs_count, len(jobs), self._limits.jobs_per_batch)
        now = self._clock()
        first_order = await self._database.write(
            lambda c: reserve_orders(c, batch.id, len(jobs), now)
        )
        crash_point("batch.add.reserved")
        new = NewJobs(
            batch, checked.device.exclusive, new_addition_id(), first_order, checked.jobs, now
        )
        await self._hold(new, load)
        crash_point("batch.add.enqueued")
        try:
            await self._database.write(
                lambda c: commit_addition(c, new, checked.texts, self._limits, named)
            )
            crash_point("batch.add.committed")
        finally:
            # Also when the caller goes away in this moment and the commit succeeds nevertheless.
            self._intents.wake()
        self._changes.announce([batch.id])
        link_to_batch(batch.id)
        log.info("jobs added", batch_id=batch.id, jobs=len(new.jobs))
        return new

    async def repeat(
        self,
        batch: BatchRow,
        sequence: str | None,
        wanted: JobFilter,
        user_id: str,
        named: NamedRequest | None = None,
    ) -> NewBatch:
        """Creates a closed batch that repeats the matching jobs of another."""
        device = self._admission.check_device(batch.device_type)
        jobs = [checked_job(job, parent_id=job.id) for job in await self._jobs_of(batch.id, wanted)]
        if not jobs:
            raise InvalidInput("filter", f"no job of batch {batch.id} matches")
        load = await self._require_capacity(batch.project_id, 1, len(jobs))
        owner = await self._owner(batch.project_id, user_id)
        new = make_repetition(
            batch, sequence, jobs, owner, self._clock(), exclusive=device.exclusive
        )
        return await self._store(new, load, named)

    async def _hold(self, new: NewJobs, load: Load) -> None:
        try:
            await self._queue.EnqueueJobs(enqueue_request(new, load.sequence_bytes))
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.FAILED_PRECONDITION:
                # The intent that closes the batch was there first.
                await self._database.read(lambda c: require_open(c, new.batch.id))
            raise

    async def _jobs_of(self, batch_id: str, wanted: JobFilter) -> Sequence[QueuedJob]:
        request = ListBatchJobsRequest(batch_id=batch_id, filter=wanted)
        try:
            response = await self._queue.ListBatchJobs(request)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.INVALID_ARGUMENT:
                raise
            # The filter is JobService's to judge; it says so as every service of ours does.
            field, _, reason = (error.details() or "").partition(": ")
            raise InvalidInput(field, reason) from None
        return response.jobs

    async def _owner(self, project_id: str, user_id: str) -> Owner:
        return Owner(user_id, project_id, await self._queue_priority_of(project_id))

    async def _require_capacity(self, project_id: str, batches: int, jobs: int) -> Load:
        # Before anything is checked or held; the transaction that stores it decides.
        return await self._database.read(
            lambda c: require_capacity(c, project_id, batches, jobs, self._limits)
        )

    async def _store(self, new: NewBatch, load: Load, named: NamedRequest | None) -> NewBatch:
        await self._queue.EnqueueJobs(enqueue_request(new.jobs, load.sequence_bytes))
        crash_point("batch.create.enqueued")
        try:
            await self._database.write(lambda c: create_batch(c, new, self._limits, named))
            crash_point("batch.create.committed")
        finally:
            # Also when the caller goes away in this moment and the commit succeeds nevertheless.
            self._intents.wake()
        link_to_batch(new.batch.id)
        log.info("batch created", batch_id=new.batch.id, jobs=len(new.jobs.jobs))
        return new
