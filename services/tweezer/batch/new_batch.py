"""A batch that was accepted and is about to be stored."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import orjson

from tweezer.batch.checks.admitted import CheckedBatch
from tweezer.batch.conversion import (
    ORIGIN_FROM_MESSAGE,
    ORIGIN_TO_MESSAGE,
    PRIORITY_TO_MESSAGE,
    batch_to_message,
)
from tweezer.batch.identifiers import job_ids, new_addition_id, new_batch_id
from tweezer.batch.store.rows import BatchRow
from tweezer.database.timestamps import to_timestamp
from tweezer.internal.v1.queue_service_pb2 import EnqueueJobsRequest, QueuedBatch, QueuedJob
from tweezer.lifecycle import BatchIntent, JobCounts, batch_status
from tweezer.v1.batch_service_pb2 import CreateBatchRequest, CreateBatchResponse
from tweezer.v1.job_pb2 import Job, JobStatus


@dataclass(frozen=True)
class NewBatch:
    """The batch, its first addition of jobs and its programs."""

    row: BatchRow
    origin: str
    addition_id: str
    checked: CheckedBatch

    @cached_property
    def job_ids(self) -> list[str]:
        """Identifiers of the jobs in creation order."""
        return job_ids(self.row.id, 0, self.row.jobs_count)


def make_batch(
    request: CreateBatchRequest,
    checked: CheckedBatch,
    project_id: str,
    user_id: str,
    queue_priority: str,
    now: int,
) -> NewBatch:
    """Gives an accepted request its identifiers and its place."""
    count = len(checked.jobs)
    status = batch_status(BatchIntent(open=request.open), JobCounts(pending=count))
    row = BatchRow(
        id=new_batch_id(),
        parent_id=None,
        status=status.value,
        open=request.open,
        device_type=checked.device.device_type,
        user_id=user_id,
        project_id=project_id,
        created_at=now,
        updated_at=now,
        start_at=None,
        end_at=None,
        jobs_count=count,
        running=0,
        canceling=0,
        done=0,
        error=0,
        canceled=0,
        tags=orjson.dumps(checked.tags).decode(),
        configuration_json=_given("configuration_json", request),
        backend_configuration=_given("backend_configuration", request),
        webhook=_given("webhook", request),
        queue_priority=queue_priority,
        program_hash=None if checked.program is None else checked.program.hash,
    )
    origin = ORIGIN_FROM_MESSAGE.get(request.origin, "CLIENT")
    return NewBatch(row, origin, new_addition_id(), checked)


def _given(
    field: Literal["configuration_json", "backend_configuration", "webhook"],
    request: CreateBatchRequest,
) -> str | None:
    value: str = getattr(request, field)
    return value if request.HasField(field) else None


def enqueue_request(new: NewBatch) -> EnqueueJobsRequest:
    """Returns what JobService is asked to hold."""
    row = new.row
    return EnqueueJobsRequest(
        batch=QueuedBatch(
            id=row.id,
            project_id=row.project_id,
            user_id=row.user_id,
            device_type=row.device_type,
            queue_priority=PRIORITY_TO_MESSAGE[row.queue_priority],
            program_hash=row.program_hash,
            backend_configuration=row.backend_configuration,
            configuration_json=row.configuration_json,
            origin=ORIGIN_TO_MESSAGE[new.origin],
        ),
        addition_id=new.addition_id,
        jobs=[
            QueuedJob(
                id=job_id,
                creation_order=order,
                runs=job.runs,
                variables_json=job.variables_json,
                program_hash=job.program_hash,
            )
            for order, (job_id, job) in enumerate(zip(new.job_ids, new.checked.jobs, strict=True))
        ],
        create_time=to_timestamp(row.created_at),
    )


def create_response(new: NewBatch) -> CreateBatchResponse:
    """Returns what the caller is told."""
    row, program = new.row, new.checked.program
    created = to_timestamp(row.created_at)
    origin = ORIGIN_TO_MESSAGE[new.origin]
    return CreateBatchResponse(
        batch=batch_to_message(row, None if program is None else program.text, new.job_ids),
        jobs=[
            Job(
                id=job_id,
                status=JobStatus.JOB_STATUS_PENDING,
                runs=job.runs,
                batch_id=row.id,
                project_id=row.project_id,
                user_id=row.user_id,
                create_time=created,
                update_time=created,
                variables_json=job.variables_json,
                creation_order=order,
                origin=origin,
            )
            for order, (job_id, job) in enumerate(zip(new.job_ids, new.checked.jobs, strict=True))
        ],
    )
