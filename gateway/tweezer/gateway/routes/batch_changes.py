"""Changes of batches: jobs added, batches closed, cancelled, repeated and tagged."""

from fastapi import APIRouter, Request, Response

from tweezer.gateway import jsend
from tweezer.gateway.batch_jobs import jobs_after_change
from tweezer.gateway.calls import backend_of, call
from tweezer.gateway.convert import batch_changes, batches
from tweezer.gateway.documentation import bearer, creation, errors, json_body, query
from tweezer.gateway.errors import input_is
from tweezer.gateway.idempotency import call_once
from tweezer.gateway.json_text import read_json
from tweezer.gateway.query_string import read_query
from tweezer.gateway.routes.batches import BatchId
from tweezer.gateway.schemas.answers import (
    BatchBulkCancelResponse,
    BatchWithJobs,
    JobBulkCancelResponse,
)
from tweezer.gateway.schemas.bodies import AddJobs, CancelBatches, SetTags
from tweezer.gateway.schemas.envelopes import Success
from tweezer.gateway.schemas.queries import JobSelection
from tweezer.v1.batch_pb2 import Batch
from tweezer.v1.batch_service_pb2 import (
    CancelBatchRequest,
    CloseBatchRequest,
    SetBatchTagsRequest,
)

router = APIRouter(tags=["batches"])


@router.post(
    "/api/v2/batches/{batch_id}/jobs",
    summary="Add jobs to an open batch",
    response_model=Success[BatchWithJobs],
    responses=errors(400, 401, 404, 409, 408, 413, 415, 422),
    openapi_extra=creation(bearer(**json_body(AddJobs))),
)
async def add_jobs(request: Request, batch_id: BatchId) -> Response:
    """Adds all of the jobs or none. The body may be gzip-compressed.

    Answers the batch with all its jobs.
    """
    backend = backend_of(request)
    body = await read_json(request, AddJobs, backend.settings.gateway_max_body_values)
    input_is(request, "jobs")
    message = batch_changes.add_jobs_request(batch_id, body)
    response = await call_once(request, backend.stubs.batches.AddJobs, message)
    return await _changed(request, response.batch)


@router.patch(
    "/api/v2/batches/{batch_id}/complete",
    summary="Close an open batch",
    response_model=Success[BatchWithJobs],
    responses=errors(401, 404, 409, 422),
    openapi_extra=bearer(),
)
async def close_batch(request: Request, batch_id: BatchId) -> Response:
    """Closes a batch: it takes no more jobs. Needs no body; 409 when it is closed already."""
    stub = backend_of(request).stubs.batches
    response = await call(request, stub.CloseBatch, CloseBatchRequest(batch_id=batch_id))
    return await _changed(request, response.batch)


@router.patch(
    "/api/v1/batches/cancel",
    summary="Cancel several batches",
    response_model=Success[BatchBulkCancelResponse],
    responses=errors(400, 401, 408, 413, 415, 422),
    openapi_extra=bearer(**json_body(CancelBatches)),
)
async def cancel_batches(request: Request) -> Response:
    """Cancels batches by identifier or by criteria; those that cannot be are under `errors`."""
    backend = backend_of(request)
    body = await read_json(request, CancelBatches, backend.settings.gateway_max_body_values)
    message = batch_changes.cancel_batches_request(body)
    response = await call(request, backend.stubs.batches.CancelBatches, message)
    return jsend.success(batch_changes.cancelled_batches(response))


@router.patch(
    "/api/v2/batches/{batch_id}/cancel",
    summary="Cancel a batch",
    response_model=Success[BatchWithJobs],
    responses=errors(401, 404, 409, 422),
    openapi_extra=bearer(),
)
async def cancel_batch(request: Request, batch_id: BatchId) -> Response:
    """Cancels a batch and its unfinished jobs. Needs no body; 409 when the batch is final."""
    stub = backend_of(request).stubs.batches
    response = await call(request, stub.CancelBatch, CancelBatchRequest(batch_id=batch_id))
    return await _changed(request, response.batch)


@router.patch(
    "/api/v2/batches/{batch_id}/cancel/jobs",
    summary="Cancel jobs of a batch",
    response_model=Success[JobBulkCancelResponse],
    responses=errors(401, 404, 422),
    openapi_extra=bearer(**query(JobSelection)),
)
async def cancel_jobs(request: Request, batch_id: BatchId) -> Response:
    """Cancels the matching jobs, without conditions all unfinished ones. Needs no body.

    Jobs that cannot be cancelled are under `errors`.
    """
    wanted = read_query(request, JobSelection)
    input_is(request, "filter")
    stub = backend_of(request).stubs.jobs
    message = batch_changes.cancel_jobs_request(batch_id, wanted)
    response = await call(request, stub.CancelJobs, message)
    return jsend.success(batch_changes.cancelled_jobs(response))


@router.post(
    "/api/v1/batches/{batch_id}/rebatch",
    summary="Repeat jobs of a batch in a new one",
    response_model=Success[BatchWithJobs],
    responses=errors(401, 404, 409, 422),
    openapi_extra=creation(bearer(**query(JobSelection))),
)
async def rebatch(request: Request, batch_id: BatchId) -> Response:
    """Creates a closed batch that repeats the matching jobs, without conditions all of them.

    Needs no body. The new batch and its jobs name what they repeat as `parent_id`.
    """
    wanted = read_query(request, JobSelection)
    input_is(request, "filter")
    stub = backend_of(request).stubs.batches
    message = batch_changes.repeat_request(batch_id, wanted)
    response = await call_once(request, stub.RepeatBatch, message)
    return jsend.success(batches.batch_with_jobs(response.batch, response.jobs))


@router.patch(
    "/api/v1/batches/{batch_id}/tags",
    summary="Replace the tags of a batch",
    response_model=Success[BatchWithJobs],
    responses=errors(400, 401, 404, 408, 413, 415, 422),
    openapi_extra=bearer(**json_body(SetTags)),
)
async def set_batch_tags(request: Request, batch_id: BatchId) -> Response:
    """Replaces all tags. The body is a bare list of texts."""
    backend = backend_of(request)
    body = await read_json(request, SetTags, backend.settings.gateway_max_body_values)
    input_is(request, "tags")
    message = SetBatchTagsRequest(batch_id=batch_id, tags=body.root)
    response = await call(request, backend.stubs.batches.SetBatchTags, message)
    return await _changed(request, response.batch)


async def _changed(request: Request, batch: Batch) -> Response:
    jobs = await jobs_after_change(request, batch.id)
    return jsend.success(batches.batch_with_jobs(batch, jobs))
