"""Batches."""

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from tweezer.gateway import jsend
from tweezer.gateway.calls import backend_of, call
from tweezer.gateway.convert import batches
from tweezer.gateway.direct_route import DirectRoute
from tweezer.gateway.documentation import bearer, creation, errors, json_body, query
from tweezer.gateway.idempotency import call_once
from tweezer.gateway.json_text import read_json
from tweezer.gateway.query_string import read_query
from tweezer.gateway.schemas.answers import (
    BatchDetail,
    BatchListItem,
    BatchStatusResponse,
    BatchWithJobs,
    ProjectLastActivity,
)
from tweezer.gateway.schemas.bodies import CreateBatch
from tweezer.gateway.schemas.envelopes import Success, SuccessPage
from tweezer.gateway.schemas.fields import AnyUuid
from tweezer.gateway.schemas.queries import ActivityQuery, BatchQuery
from tweezer.v1.batch_service_pb2 import (
    GetBatchRequest,
    GetBatchStatusRequest,
    ListLastActivityRequest,
)

router = APIRouter(tags=["batches"], route_class=DirectRoute)

BatchId = Annotated[AnyUuid, Path(description="Identifier of the batch.")]


@router.get(
    "/api/v2/batches/{batch_id}",
    summary="Get a batch",
    response_model=Success[BatchDetail],
    responses=errors(401, 404, 422),
    openapi_extra=bearer(),
)
async def get_batch(request: Request, batch_id: BatchId) -> Response:
    """Returns a batch with its sequence and the identifiers of its jobs."""
    stub = backend_of(request).stubs.batches
    response = await call(request, stub.GetBatch, GetBatchRequest(batch_id=batch_id))
    return jsend.success(batches.batch_detail(response.batch))


@router.get(
    "/api/v1/batches/{batch_id}/status",
    summary="Get the status of a batch",
    response_model=Success[BatchStatusResponse],
    responses=errors(401, 404, 422),
    openapi_extra=bearer(),
)
async def get_batch_status(request: Request, batch_id: BatchId) -> Response:
    """Returns the status and the job counts only: what a client polls."""
    stub = backend_of(request).stubs.batches
    message = GetBatchStatusRequest(batch_id=batch_id)
    response = await call(request, stub.GetBatchStatus, message)
    return jsend.success(batches.batch_status(response))


@router.get(
    "/api/v1/batches",
    summary="List batches",
    response_model=SuccessPage[BatchListItem],
    responses=errors(401, 422),
    openapi_extra=bearer(**query(BatchQuery)),
)
async def list_batches(request: Request) -> Response:
    """Returns one page of the batches the caller may see, without sequences and jobs."""
    wanted = read_query(request, BatchQuery)
    stub = backend_of(request).stubs.batches
    response = await call(request, stub.ListBatches, batches.list_request(wanted))
    rows = [batches.batch_row(batch) for batch in response.batches]
    return jsend.page(rows, wanted.offset, response.total_size)


@router.post(
    "/api/v1/batches",
    summary="Create a batch",
    response_model=Success[BatchWithJobs],
    responses=errors(400, 401, 404, 408, 413, 415, 422),
    openapi_extra=creation(bearer(**json_body(CreateBatch))),
)
async def create_batch(request: Request) -> Response:
    """Creates a batch with its first jobs: all or nothing. The body may be gzip-compressed."""
    backend = backend_of(request)
    body = await read_json(request, CreateBatch, backend.settings.gateway_max_body_values)
    message = batches.create_request(body)
    response = await call_once(request, backend.stubs.batches.CreateBatch, message)
    return jsend.success(batches.batch_with_jobs(response.batch, response.jobs))


@router.get(
    "/api/v1/batches/last_activity",
    summary="Get when projects were last active",
    response_model=Success[list[ProjectLastActivity]],
    responses=errors(401, 403, 422),
    openapi_extra=bearer(**query(ActivityQuery)),
)
async def get_last_activity(request: Request) -> Response:
    """Returns when each project last created a batch or added a job. For operators."""
    wanted = read_query(request, ActivityQuery)
    stub = backend_of(request).stubs.batches
    message = ListLastActivityRequest(project_ids=wanted.project_id)
    response = await call(request, stub.ListLastActivity, message)
    return jsend.success(batches.last_activity(response))
