"""Version 1 of what version 2 does differently, for old clients."""

from typing import Any

from fastapi import APIRouter, Request, Response

from tweezer.gateway import jsend
from tweezer.gateway.batch_jobs import jobs_after_change, jobs_of
from tweezer.gateway.calls import backend_of, call
from tweezer.gateway.convert import batch_changes, batches, jobs
from tweezer.gateway.documentation import bearer, creation, errors, json_body, query
from tweezer.gateway.errors import input_is
from tweezer.gateway.idempotency import call_once
from tweezer.gateway.json_text import read_json
from tweezer.gateway.query_string import read_query
from tweezer.gateway.result_files import read_results
from tweezer.gateway.routes.batch_changes import cancel_jobs
from tweezer.gateway.routes.batches import BatchId
from tweezer.gateway.routes.jobs import JobId
from tweezer.gateway.schemas.answers import (
    JobBulkCancelResponse,
    LegacyBatchWithResults,
    LegacyJobWithResults,
)
from tweezer.gateway.schemas.bodies import AddJobs, CreateJobInBatch
from tweezer.gateway.schemas.envelopes import Success
from tweezer.gateway.schemas.queries import JobQuery, JobSelection
from tweezer.v1.batch_pb2 import Batch
from tweezer.v1.batch_service_pb2 import (
    CancelBatchRequest,
    CloseBatchRequest,
    GetBatchRequest,
)
from tweezer.v1.job_service_pb2 import CancelJobRequest, GetJobRequest

router = APIRouter(tags=["version 1"])


@router.get(
    "/api/v1/batches/{batch_id}",
    summary="Get a batch with its results",
    response_model=Success[LegacyBatchWithResults],
    responses=errors(401, 404, 413, 422),
    openapi_extra=bearer(),
)
async def get_batch(request: Request, batch_id: BatchId) -> Response:
    """Returns a batch with its jobs and their results; 413 when the results are too large."""
    stub = backend_of(request).stubs.batches
    batch = (await call(request, stub.GetBatch, GetBatchRequest(batch_id=batch_id))).batch
    found = await jobs_of(request, batch_id)
    files = await read_results(request, found)
    rows = [jobs.job_with_result(job, files.get(job.id)) for job in found]
    return jsend.success({**batches.batch_without_jobs(batch), "jobs": rows})


@router.get(
    "/api/v1/jobs",
    summary="List jobs with their results",
    response_model=Success[list[LegacyJobWithResults]],
    responses=errors(401, 413, 422),
    openapi_extra=bearer(**query(JobQuery)),
)
async def list_jobs(request: Request) -> Response:
    """Returns one page of the jobs the caller may see; 413 when the results are too large."""
    wanted = read_query(request, JobQuery)
    stub = backend_of(request).stubs.jobs
    response = await call(request, stub.ListJobs, jobs.list_request(wanted))
    files = await read_results(request, response.jobs)
    return jsend.success([jobs.job_with_result(job, files.get(job.id)) for job in response.jobs])


@router.get(
    "/api/v1/jobs/{job_id}",
    summary="Get a job with its result",
    response_model=Success[LegacyJobWithResults],
    responses=errors(401, 404, 413, 422),
    openapi_extra=bearer(),
)
async def get_job(request: Request, job_id: JobId) -> Response:
    """Returns a job with its result; 413 when the result is too large."""
    stub = backend_of(request).stubs.jobs
    job = (await call(request, stub.GetJob, GetJobRequest(job_id=job_id))).job
    files = await read_results(request, [job])
    return jsend.success(jobs.job_with_result(job, files.get(job.id)))


@router.post(
    "/api/v1/jobs",
    summary="Add a job to an open batch",
    response_model=Success[LegacyJobWithResults],
    responses=errors(400, 401, 404, 409, 408, 413, 415, 422),
    openapi_extra=creation(bearer(**json_body(CreateJobInBatch))),
)
async def create_job(request: Request) -> Response:
    """Adds one job to an open batch."""
    backend = backend_of(request)
    body = await read_json(request, CreateJobInBatch, backend.settings.gateway_max_body_values)
    input_is(request, "jobs[0]")
    message = batch_changes.add_job_request(body)
    response = await call_once(request, backend.stubs.batches.AddJobs, message)
    (job,) = response.jobs
    return jsend.success(jobs.job_legacy(job))


@router.post(
    "/api/v1/batches/{batch_id}/jobs",
    summary="Add jobs to an open batch",
    response_model=Success[LegacyBatchWithResults],
    responses=errors(400, 401, 404, 409, 408, 413, 415, 422),
    openapi_extra=creation(bearer(**json_body(AddJobs))),
)
async def add_jobs(request: Request, batch_id: BatchId) -> Response:
    """Adds all of the jobs or none. The answer leaves out the results."""
    backend = backend_of(request)
    body = await read_json(request, AddJobs, backend.settings.gateway_max_body_values)
    input_is(request, "jobs")
    message = batch_changes.add_jobs_request(batch_id, body)
    response = await call_once(request, backend.stubs.batches.AddJobs, message)
    return jsend.success(await _changed(request, response.batch))


@router.put(
    "/api/v1/batches/{batch_id}/complete",
    summary="Close an open batch",
    response_model=Success[LegacyBatchWithResults],
    responses=errors(401, 404, 409, 422),
    openapi_extra=bearer(),
)
async def close_batch(request: Request, batch_id: BatchId) -> Response:
    """Closes a batch: it takes no more jobs. The answer leaves out the results."""
    stub = backend_of(request).stubs.batches
    response = await call(request, stub.CloseBatch, CloseBatchRequest(batch_id=batch_id))
    return jsend.success(await _changed(request, response.batch))


@router.put(
    "/api/v1/batches/{batch_id}/cancel",
    summary="Cancel a batch",
    response_model=Success[JobBulkCancelResponse],
    responses=errors(401, 404, 409, 422),
    openapi_extra=bearer(),
)
async def cancel_batch(request: Request, batch_id: BatchId) -> Response:
    """Cancels a batch and its unfinished jobs, and answers its cancelled jobs."""
    stub = backend_of(request).stubs.batches
    await call(request, stub.CancelBatch, CancelBatchRequest(batch_id=batch_id))
    found = await jobs_after_change(request, batch_id)
    return jsend.success(batch_changes.cancelled_of(found))


router.put(
    "/api/v1/batches/{batch_id}/cancel/jobs",
    summary="Cancel jobs of a batch",
    response_model=Success[JobBulkCancelResponse],
    responses=errors(401, 404, 422),
    openapi_extra=bearer(**query(JobSelection)),
)(cancel_jobs)


@router.put(
    "/api/v1/jobs/{job_id}/cancel",
    summary="Cancel a job",
    response_model=Success[LegacyJobWithResults],
    responses=errors(401, 404, 409, 422),
    openapi_extra=bearer(),
)
async def cancel_job(request: Request, job_id: JobId) -> Response:
    """Cancels a job, running or not; 409 when the job is final."""
    stub = backend_of(request).stubs.jobs
    response = await call(request, stub.CancelJob, CancelJobRequest(job_id=job_id))
    return jsend.success(jobs.job_legacy(response.job))


async def _changed(request: Request, batch: Batch) -> dict[str, Any]:
    found = await jobs_after_change(request, batch.id)
    rows = [jobs.job_legacy(job) for job in found]
    return {**batches.batch_without_jobs(batch), "jobs": rows}
