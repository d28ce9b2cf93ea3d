"""The paths that OVH users' clients call: the same operations for callers without a project."""

from fastapi import APIRouter, Request, Response

from tweezer.gateway import jsend
from tweezer.gateway.calls import backend_of, call
from tweezer.gateway.convert import batches
from tweezer.gateway.documentation import bearer, creation, errors, json_body, query
from tweezer.gateway.idempotency import call_once
from tweezer.gateway.json_text import read_json
from tweezer.gateway.problems import invalid
from tweezer.gateway.routes.batches import get_batch, get_batch_status
from tweezer.gateway.routes.jobs import get_job_status, list_jobs
from tweezer.gateway.routes.results import get_results_link
from tweezer.gateway.schemas.answers import (
    BatchDetail,
    BatchStatusResponse,
    BatchWithJobs,
    JobPartialV2,
    JobStatusResponse,
    ResultsLink,
)
from tweezer.gateway.schemas.bodies import CreateOvhBatch
from tweezer.gateway.schemas.envelopes import Success, SuccessPage
from tweezer.gateway.schemas.queries import JobQuery
from tweezer.v1.account_service_pb2 import ListProjectsRequest
from tweezer.v1.job_pb2 import JobOrigin

router = APIRouter(tags=["OVH"], prefix="/api/v1/third-party-access/ovh")

router.get(
    "/batches/{batch_id}",
    summary="Get a batch",
    response_model=Success[BatchDetail],
    responses=errors(401, 404, 422),
    openapi_extra=bearer(),
)(get_batch)

router.get(
    "/batches/{batch_id}/status",
    summary="Get the status of a batch",
    response_model=Success[BatchStatusResponse],
    responses=errors(401, 404, 422),
    openapi_extra=bearer(),
)(get_batch_status)

router.get(
    "/jobs",
    summary="List jobs",
    response_model=SuccessPage[JobPartialV2],
    responses=errors(401, 422),
    openapi_extra=bearer(**query(JobQuery)),
)(list_jobs)

router.get(
    "/jobs/{job_id}/status",
    summary="Get the status of a job",
    response_model=Success[JobStatusResponse],
    responses=errors(401, 404, 422),
    openapi_extra=bearer(),
)(get_job_status)

router.get(
    "/jobs/{job_id}/results_link",
    summary="Get a link to the result of a job",
    response_model=Success[ResultsLink],
    responses=errors(401, 404, 422),
    openapi_extra=bearer(),
)(get_results_link)


@router.post(
    "/batches",
    summary="Create a batch",
    response_model=Success[BatchWithJobs],
    responses=errors(400, 401, 404, 408, 413, 415, 422),
    openapi_extra=creation(bearer(**json_body(CreateOvhBatch))),
)
async def create_batch(request: Request) -> Response:
    """Creates a batch with its first jobs: all or nothing. The body may be gzip-compressed.

    The project may be left empty: the caller's only one is taken.
    """
    backend = backend_of(request)
    body = await read_json(request, CreateOvhBatch, backend.settings.gateway_max_body_values)
    if not body.project_id:
        body.project_id = await _only_project(request)
    message = batches.create_request(body, JobOrigin.JOB_ORIGIN_OVH)
    response = await call_once(request, backend.stubs.batches.CreateBatch, message)
    return jsend.success(batches.batch_with_jobs(response.batch, response.jobs))


async def _only_project(request: Request) -> str:
    stub = backend_of(request).stubs.accounts
    projects = (await call(request, stub.ListProjects, ListProjectsRequest())).projects
    if len(projects) != 1:
        found = "several projects: name one" if projects else "no project"
        raise invalid(["body", "project_id"], f"the caller has {found}")
    return projects[0].id
