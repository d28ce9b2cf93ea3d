"""Changes of batches: checked input to requests, and protobuf to what the API answers."""

from collections.abc import Iterable
from typing import Any, Final

from tweezer.gateway.convert import words
from tweezer.gateway.convert.batches import batch_without_jobs, new_job, new_jobs
from tweezer.gateway.convert.jobs import job_filter, job_v1
from tweezer.gateway.convert.statuses import BATCH_STATUS_OF
from tweezer.gateway.convert.times import timestamp
from tweezer.gateway.schemas.bodies import AddJobs, CancelBatches, CreateJob, CreateJobInBatch
from tweezer.gateway.schemas.queries import JobSelection
from tweezer.v1.batch_pb2 import BatchFilter
from tweezer.v1.batch_service_pb2 import (
    AddJobsRequest,
    CancelBatchesRequest,
    CancelBatchesResponse,
    RepeatBatchRequest,
)
from tweezer.v1.job_pb2 import Job, JobStatus
from tweezer.v1.job_service_pb2 import CancelJobsRequest, CancelJobsResponse

_CANCELLED: Final = (JobStatus.JOB_STATUS_CANCELED, JobStatus.JOB_STATUS_CANCELING)


def add_jobs_request(batch_id: str, body: AddJobs) -> AddJobsRequest:
    """Returns the request that adds jobs."""
    return AddJobsRequest(batch_id=batch_id, jobs=new_jobs(body.root, ("body",)))


def add_job_request(body: CreateJobInBatch) -> AddJobsRequest:
    """Returns the request that adds one job."""
    job = new_job(CreateJob(runs=body.runs, variables=body.variables), ("body",))
    return AddJobsRequest(batch_id=body.batch_id, jobs=[job])


def cancel_batches_request(body: CancelBatches) -> CancelBatchesRequest:
    """Returns the request that cancels several batches."""
    if body.batch_ids:
        # As documented, the criteria do not count beside identifiers.
        return CancelBatchesRequest(batch_ids=body.batch_ids)
    if body.cancel_all:
        return CancelBatchesRequest(cancel_all=True)
    return CancelBatchesRequest(
        filter=BatchFilter(
            project_ids=body.project_id,
            user_ids=body.user_id,
            device_types=body.device_type,
            # What is being stopped already need not be found by RUNNING here.
            statuses=[BATCH_STATUS_OF[word] for word in body.status or ()],
            open=body.open,
            start_time=timestamp(body.start_date),
            queue_priorities=[words.QUEUE_PRIORITY_OF[word] for word in body.queue_priority or ()],
        ),
        tags=body.tags,
    )


def cancelled_batches(response: CancelBatchesResponse) -> dict[str, Any]:
    """Returns the batches that were cancelled, and why others were not."""
    return {
        "batches": [batch_without_jobs(batch) for batch in response.batches],
        "errors": dict(response.errors),
    }


def cancel_jobs_request(batch_id: str, query: JobSelection) -> CancelJobsRequest:
    """Returns the request that cancels jobs of a batch."""
    return CancelJobsRequest(batch_id=batch_id, filter=job_filter(query))


def cancelled_jobs(response: CancelJobsResponse) -> dict[str, Any]:
    """Returns the jobs that were cancelled, and why others were not."""
    return {
        "jobs": [job_v1(job) for job in response.jobs],
        "errors": dict(response.errors),
    }


def cancelled_of(jobs: Iterable[Job]) -> dict[str, Any]:
    """Returns those of the jobs of a cancelled batch that were cancelled."""
    return {"jobs": [job_v1(job) for job in jobs if job.status in _CANCELLED], "errors": {}}


def repeat_request(batch_id: str, query: JobSelection) -> RepeatBatchRequest:
    """Returns the request that repeats jobs of a batch in a new one."""
    return RepeatBatchRequest(batch_id=batch_id, filter=job_filter(query))
