"""QueueService: BatchService tells what should happen."""

from collections.abc import Iterable, Iterator
from typing import Final

from tweezer.database.timestamps import Clock, from_timestamp
from tweezer.internal.v1 import queue_service_pb2 as pb
from tweezer.internal.v1.queue_service_pb2_grpc import QueueServiceServicer
from tweezer.job.conversion import ORIGIN_OF, progress_message, queued_job_message
from tweezer.job.forgetting import Forgetting
from tweezer.job.ids import all_canonical, canonical
from tweezer.job.queueing import Queueing
from tweezer.job.store.enqueue import Addition, BatchClosed, NewBatch, NewJob, OrderTaken
from tweezer.job.store.intents import Intent
from tweezer.rpc.context import Context
from tweezer.rpc.errors import InvalidInput, NotAllowedNow
from tweezer.v1 import batch_pb2

#: Batches forgotten in one call.
_MOST_FORGOTTEN: Final = 1000


class QueueServicer(QueueServiceServicer):
    """Hands what comes in to the queue."""

    def __init__(
        self, queueing: Queueing, forgetting: Forgetting, clock: Clock, addition_grace_s: float
    ) -> None:
        self._queueing, self._forgetting, self._clock = queueing, forgetting, clock
        self._grace = round(addition_grace_s * 1_000_000)

    async def EnqueueJobs(
        self, request: pb.EnqueueJobsRequest, context: Context
    ) -> pb.EnqueueJobsResponse:
        """Stores the jobs of one addition, held."""
        addition = _addition(request, check_at=self._clock() + self._grace)
        try:
            await self._queueing.enqueue(addition)
        except OrderTaken:
            raise NotAllowedNow(
                f"batch {addition.batch.id} has other jobs of the same creation order"
            ) from None
        except BatchClosed:
            raise NotAllowedNow(f"batch {addition.batch.id} is closed") from None
        return pb.EnqueueJobsResponse()

    async def ApplyIntents(
        self, request: pb.ApplyIntentsRequest, context: Context
    ) -> pb.ApplyIntentsResponse:
        """Applies the newest intents of some batches."""
        progress = await self._queueing.apply(list(_intents(request.intents)))
        return pb.ApplyIntentsResponse(progress=map(progress_message, progress))

    async def ApplyDevicePauses(
        self, request: pb.ApplyDevicePausesRequest, context: Context
    ) -> pb.ApplyDevicePausesResponse:
        """Holds devices back, or lets them go on."""
        for index, pause in enumerate(request.pauses):
            if not pause.device_type:
                raise InvalidInput(f"pauses[{index}].device_type", "is missing.")
        await self._queueing.pause_devices(
            {pause.device_type for pause in request.pauses if pause.paused}
        )
        return pb.ApplyDevicePausesResponse()

    async def ListBatchJobs(
        self, request: pb.ListBatchJobsRequest, context: Context
    ) -> pb.ListBatchJobsResponse:
        """Lists jobs of a batch as they were queued."""
        batch_id = canonical("batch_id", request.batch_id)
        jobs = await self._queueing.jobs(batch_id, request.filter)
        return pb.ListBatchJobsResponse(jobs=map(queued_job_message, jobs))

    async def ForgetBatches(
        self, request: pb.ForgetBatchesRequest, context: Context
    ) -> pb.ForgetBatchesResponse:
        """Deletes what is kept of finished batches."""
        if len(request.batch_ids) > _MOST_FORGOTTEN:
            raise InvalidInput("batch_ids", f"must have at most {_MOST_FORGOTTEN} items.")
        forgotten = await self._forgetting.forget(all_canonical("batch_ids", request.batch_ids))
        return pb.ForgetBatchesResponse(
            forgotten_batch_ids=forgotten.ids,
            deleted_jobs=forgotten.jobs,
            deleted_results=forgotten.results,
        )


def _addition(request: pb.EnqueueJobsRequest, check_at: int) -> Addition:
    if not request.HasField("create_time"):
        raise InvalidInput("create_time", "is missing.")
    first_order = request.jobs[0].creation_order if request.jobs else 0
    for index, job in enumerate(request.jobs):
        if job.creation_order != first_order + index:
            # An addition is kept as a span: its jobs are found without an index of their own.
            raise InvalidInput(f"jobs[{index}].creation_order", "must follow the one before.")
    return Addition(
        id=canonical("addition_id", request.addition_id),
        batch=_batch(request.batch),
        first_order=first_order,
        jobs_count=len(request.jobs),
        jobs=[_job(job) for job in request.jobs],
        created_at=from_timestamp(request.create_time),
        check_at=check_at,
        sequence_bytes=request.sequence_bytes,
    )


def _batch(batch: pb.QueuedBatch) -> NewBatch:
    if batch.origin not in ORIGIN_OF:
        raise InvalidInput("batch.origin", "is missing.")
    if not batch_pb2.QUEUE_PRIORITY_CRITICAL <= batch.queue_priority <= _LAST_QUEUE:
        raise InvalidInput("batch.queue_priority", "is missing.")
    if not batch.device_type:
        raise InvalidInput("batch.device_type", "is missing.")
    return NewBatch(
        id=canonical("batch.id", batch.id),
        project_id=canonical("batch.project_id", batch.project_id),
        user_id=batch.user_id,
        device_type=batch.device_type,
        queue_rank=batch.queue_priority,  # the numbers rise in the order of service
        origin=ORIGIN_OF[batch.origin],
        program_hash=batch.program_hash if batch.HasField("program_hash") else None,
        backend_configuration=(
            batch.backend_configuration if batch.HasField("backend_configuration") else None
        ),
        configuration_json=(
            batch.configuration_json if batch.HasField("configuration_json") else None
        ),
        exclusive=batch.exclusive,
        webhook=batch.webhook if batch.HasField("webhook") else None,
    )


def _job(job: pb.QueuedJob) -> NewJob:
    return NewJob(
        id=job.id,
        creation_order=job.creation_order,
        parent_id=job.parent_id if job.HasField("parent_id") else None,
        runs=job.runs if job.HasField("runs") else None,
        variables_json=job.variables_json if job.HasField("variables_json") else None,
        program_hash=job.program_hash if job.HasField("program_hash") else None,
    )


def _intents(messages: Iterable[pb.BatchIntent]) -> Iterator[Intent]:
    for index, message in enumerate(messages):
        at = f"intents[{index}]"
        yield Intent(
            batch_id=canonical(f"{at}.batch_id", message.batch_id),
            version=message.version,
            released_additions=all_canonical(
                f"{at}.released_addition_ids", message.released_addition_ids
            ),
            cancelled=message.cancelled,
            paused=message.paused,
            open=message.open,
        )


_LAST_QUEUE = batch_pb2.QUEUE_PRIORITY_FREE
