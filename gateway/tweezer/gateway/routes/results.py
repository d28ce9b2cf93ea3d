"""Results: links to them, and the download behind a link."""

import re
from collections.abc import AsyncIterator
from typing import Annotated, Final
from urllib.parse import quote

import grpc
from fastapi import APIRouter, Path, Request, Response
from starlette.responses import StreamingResponse

from tweezer.gateway import jsend
from tweezer.gateway.calls import backend_of, call
from tweezer.gateway.documentation import bearer, errors
from tweezer.gateway.routes.jobs import JobId
from tweezer.gateway.schemas.answers import JobResult, ResultsLink
from tweezer.gateway.schemas.envelopes import Success
from tweezer.v1.job_service_pb2 import (
    DownloadResultRequest,
    DownloadResultResponse,
    GetResultLinkRequest,
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
    link: str | None = None
    if response.url:
        link = response.url
    elif response.ticket:
        link = f"{_base_url(request)}{_DOWNLOADS}{quote(response.ticket, safe='')}"
    return jsend.success({"results_link": link})


@router.get(
    _DOWNLOADS + "{ticket:path}",
    summary="Download a result",
    response_model=JobResult,
    responses=errors(404),
)
async def download_result(
    request: Request,
    ticket: Annotated[str, Path(description="The last part of a results link.")],
) -> Response:
    """Sends the result file that a link names. The link is the credential."""
    backend = backend_of(request)
    download = backend.stubs.jobs.DownloadResult(
        DownloadResultRequest(ticket=ticket), timeout=backend.settings.gateway_download_deadline
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
