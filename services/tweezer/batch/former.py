"""Answers a call that was done before with what it made then."""

from collections.abc import Sequence

from tweezer.batch.checks.admitted import CheckedJob
from tweezer.batch.new_jobs import NewJobs, checked_job, job_messages
from tweezer.batch.store.additions import AdditionRow, find_addition
from tweezer.batch.store.requests import FormerCall
from tweezer.batch.visible import VisibleBatches
from tweezer.database.database import Database
from tweezer.internal.v1.queue_service_pb2 import ListBatchJobsRequest
from tweezer.internal.v1.queue_service_pb2_grpc import QueueServiceStub
from tweezer.v1.batch_pb2 import Batch
from tweezer.v1.job_pb2 import Job


class FormerAnswers:
    """The batch as it is now, and the jobs as they were added."""

    def __init__(self, database: Database, queue: QueueServiceStub) -> None:
        self._database, self._queue = database, queue
        self._visible = VisibleBatches(database)

    async def of(self, call: FormerCall) -> tuple[Batch, list[Job]]:
        """Returns what a call made; NotFound when it was deleted."""
        row = await self._visible.find(call.batch_id)
        message = await self._visible.message(call.batch_id)
        addition = await self._database.read(lambda c: find_addition(c, call.addition_id))
        if addition is None or addition.jobs_count == 0:
            return message, []
        first = addition.first_order
        jobs = await self._jobs_of(addition)
        added = NewJobs(row, False, call.addition_id, first, jobs, addition.created_at)
        return message, job_messages(added)

    async def _jobs_of(self, addition: AdditionRow) -> Sequence[CheckedJob]:
        # What the jobs were asked to do is JobService's to know.
        response = await self._queue.ListBatchJobs(ListBatchJobsRequest(batch_id=addition.batch_id))
        first, end = addition.first_order, addition.first_order + addition.jobs_count
        return [
            checked_job(job, job.parent_id if job.HasField("parent_id") else None)
            for job in response.jobs
            if first <= job.creation_order < end
        ]
