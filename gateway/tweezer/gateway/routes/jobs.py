"""Jobs."""

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from tweezer.gateway import jsend
from tweezer.gateway.calls import backend_of, call
from tweezer.gateway.convert import jobs, statuses
from tweezer.gateway.direct_route import DirectRoute
from tweezer.gateway.documentation import bearer, errors, query
from tweezer.gateway.query_string import read_query
from tweezer.gateway.schemas.answers import JobFull, JobPartialV2, JobStatusResponse
from tweezer.gateway.schemas.envelopes import Success, SuccessPage
from tweezer.gateway.schemas.fields import AnyUuid
from tweezer.gateway.schemas.queries import JobQuery
from tweezer.v1.job_service_pb2 import CancelJobRequest, GetJobRequest, GetJobStatusRequest

router = APIRouter(tags=["jobs"], route_class=DirectRoute)

JobId = Annotated[AnyUuid, Path(description="Identifier of the job.")]


@router.get(
    "/api/v2/jobs",
    summary="List jobs",
    response_model=SuccessPage[JobPartialV2],
    responses=errors(401, 422),
    openapi_extra=bearer(**query(JobQuery)),
)
async def list_jobs(request: Request) -> Response:
    """Returns one page of the jobs the caller may see, without sequences and results."""
    wanted = read_query(request, JobQuery)
    stub = backend_of(request).stubs.jobs
    response = await call(request, stub.ListJobs, jobs.list_request(wanted))
    rows = [jobs.job_row(job) for job in response.jobs]
    return jsend.page(rows, wanted.offset, response.total_size)


@router.get(
    "/api/v2/jobs/{job_id}",
    summary="Get a job",
    response_model=Success[JobFull],
    responses=errors(401, 404, 422),
    openapi_extra=bearer(),
)
async def get_job(request: Request, job_id: JobId) -> Response:
    """Returns a job with the sequence built for it, without its result."""
    stub = backend_of(request).stubs.jobs
    response = await call(request, stub.GetJob, GetJobRequest(job_id=job_id))
    return jsend.success(jobs.job_full(response.job))


@router.get(
    "/api/v1/jobs/{job_id}/status",
    summary="Get the status of a job",
    response_model=Success[JobStatusResponse],
    responses=errors(401, 404, 422),
    openapi_extra=bearer(),
)
async def get_job_status(request: Request, job_id: JobId) -> Response:
    """Returns the status only: what a client polls."""
    stub = backend_of(request).stubs.jobs
    response = await call(request, stub.GetJobStatus, GetJobStatusRequest(job_id=job_id))
    return jsend.success({"status": statuses.JOB_STATUS[response.status]})


@router.patch(
    "/api/v2/jobs/{job_id}/cancel",
    summary="Cancel a job",
    response_model=Success[JobPartialV2],
    responses=errors(401, 404, 409, 422),
    openapi_extra=bearer(),
)
async def cancel_job(request: Request, job_id: JobId) -> Response:
    """Cancels a job, running or not. Needs no body; 409 when the job is final."""
    stub = backend_of(request).stubs.jobs
    response = await call(request, stub.CancelJob, CancelJobRequest(job_id=job_id))
    return jsend.success(jobs.job_row(response.job))
