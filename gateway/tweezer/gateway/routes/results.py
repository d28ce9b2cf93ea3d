"""Results: links to them, and the download behind a link."""

import re
from collections.abc import AsyncIterator
from typing import Annotated, Final
from urllib.parse import quote
from uuid import UUID

import grpc
import orjson
from fastapi import APIRouter, Path, Request, Response
from starlette.responses import StreamingResponse

from tweezer.gateway import jsend
from tweezer.gateway.batch_jobs import check_visible, jobs_of
from tweezer.gateway.calls import backend_of, call
from tweezer.gateway.documentation import bearer, errors
from tweezer.gateway.result_files import for_each, has_result, read_results
from tweezer.gateway.routes.batches import BatchId
from tweezer.gateway.routes.jobs import JobId
from tweezer.gateway.schemas.answers import BatchResultsLinks, JobResult, ResultsLink
from tweezer.gateway.schemas.envelopes import Success
from tweezer.process import propagation
from tweezer.v1.job_pb2 import Job
from tweezer.v1.job_service_pb2 import (
    DownloadResultRequest,
    DownloadResultResponse,
    GetResultLinkRequest,
    GetResultLinkResponse,
)

router = APIRouter(tags=["results"])

_DOWNLOADS: Final = "/api/v1/results/"

#: A host name or address with a port or without.
_HOST: Final = re.compile(r"[A-Za-z0-9._-]+(:\d+)?|\[[0-9A-Fa-f:.]+\](:\d+)?")


class EmptyResult(Exception):
    """A service sent a result file without content."""


@router.get(
    "/api/v1/jobs/{job_id}/results_link",
    summary="Get a link to the result of a job",
    response_model=Success[ResultsLink],
    responses=errors(401, 404, 422),
    openapi_extra=bearer(),
)
async def get_results_link(request: Request, job_id: JobId) -> Response:
    """Returns a link that needs no token and expires; null while there is no result."""
    stub = backend_of(request).stubs.jobs
    response = await call(request, stub.GetResultLink, GetResultLinkRequest(job_id=job_id))
    return jsend.success({"results_link": _link(request, response)})


@router.get(
    "/api/v1/batches/{batch_id}/results_link",
    summary="Get links to the results of a batch",
    response_model=Success[BatchResultsLinks],
    responses=errors(401, 404, 422),
    openapi_extra=bearer(),
)
async def get_batch_results_links(request: Request, batch_id: BatchId) -> Response:
    """Returns a link for each job that has a result."""
    stub = backend_of(request).stubs.jobs

    async def link_of(job: Job) -> str | None:
        wanted = GetResultLinkRequest(job_id=job.id)
        try:
            return _link(request, await call(request, stub.GetResultLink, wanted))
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return None  # kept for long enough: the others still have theirs
            raise

    await check_visible(request, batch_id)
    done = [job for job in await jobs_of(request, batch_id) if has_result(job)]
    links = await for_each(link_of, done)
    found = {job.id: link for job, link in zip(done, links, strict=True) if link is not None}
    return jsend.success({"results_links": found})


@router.get(
    "/api/v1/batches/{batch_id}/full_results",
    summary="Get the results of a batch",
    response_model=Success[dict[UUID, JobResult]],
    responses=errors(401, 404, 413, 422),
    openapi_extra=bearer(),
)
async def get_batch_full_results(request: Request, batch_id: BatchId) -> Response:
    """Returns the result of each job that has one, by identifier; 413 when they are too large."""
    await check_visible(request, batch_id)
    files = await read_results(request, await jobs_of(request, batch_id))
    return jsend.success({job_id: orjson.Fragment(file) for job_id, file in files.items()})


@router.get(
    _DOWNLOADS + "{ticket:path}",
    summary="Download a result",
    response_model=JobResult,
    responses=errors(404, 422),
)
async def download_result(
    request: Request,
    ticket: Annotated[str, Path(description="The last part of a results link.")],
) -> Response:
    """Sends the result file that a link names. The link is the credential."""
    backend = backend_of(request)
    download = backend.stubs.jobs.DownloadResult(
        DownloadResultRequest(ticket=ticket),
        timeout=backend.settings.gateway_download_deadline,
        metadata=propagation.metadata(),
    )
    parts = aiter(download)
    # The first part decides between the file and an error answer.
    first = await anext(parts, None)
    if first is None:
        raise EmptyResult
    return StreamingResponse(_file(first, parts, download), media_type="application/json")


async def _file(
    first: DownloadResultResponse,
    others: AsyncIterator[DownloadResultResponse],
    download: grpc.aio.UnaryStreamCall[DownloadResultRequest, DownloadResultResponse],
) -> AsyncIterator[bytes]:
    try:
        yield first.chunk
        async for part in others:
            yield part.chunk
    finally:
        # The caller may have gone away.
        download.cancel()


def _link(request: Request, response: GetResultLinkResponse) -> str | None:
    """Returns the link to a result, if there is one."""
    if response.url:
        return response.url
    if response.ticket:
        return f"{_base_url(request)}{_DOWNLOADS}{quote(response.ticket, safe='')}"
    return None


def _base_url(request: Request) -> str:
    """Returns where the caller reaches this gateway."""
    settings = backend_of(request).settings
    if settings.public_url is not None:
        return str(settings.public_url).rstrip("/")
    scope = request.scope
    host = request.headers.get("host", "")
    if not _HOST.fullmatch(host):
        name, port = scope["server"]
        host = f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
    return f"{scope['scheme']}://{host}{scope['root_path']}"
