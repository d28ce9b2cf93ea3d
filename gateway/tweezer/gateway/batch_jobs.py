"""The jobs of a batch, which other services' answers do not carry."""

from typing import Final

import grpc
import structlog
from starlette.requests import Request

from tweezer.gateway.calls import backend_of, call
from tweezer.gateway.convert import jobs
from tweezer.gateway.errors import HEADERS
from tweezer.gateway.problems import Refused
from tweezer.v1.batch_service_pb2 import GetBatchStatusRequest
from tweezer.v1.job_pb2 import Job

log = structlog.get_logger(__name__)

_NOT_SHOWN: Final = (
    "it was done, but the jobs cannot be shown at present; read the batch in a moment"
)


async def check_visible(request: Request, batch_id: str) -> None:
    """Refuses a batch that the caller may not see, of which there would just be no jobs."""
    stub = backend_of(request).stubs.batches
    await call(request, stub.GetBatchStatus, GetBatchStatusRequest(batch_id=batch_id))


async def jobs_of(request: Request, batch_id: str) -> list[Job]:
    """Returns all jobs of a batch in creation order."""
    stub = backend_of(request).stubs.jobs
    found: list[Job] = []
    while True:
        page = await call(request, stub.ListJobs, jobs.all_of_batch(batch_id, len(found)))
        found.extend(page.jobs)
        if not page.jobs or len(found) >= page.total_size:
            return found


async def jobs_after_change(request: Request, batch_id: str) -> list[Job]:
    """Returns all jobs of a batch that a call has just changed.

    Should that fail, the answer is one that the public client does not repeat the request on:
    the change was made, and jobs that are added twice run twice.
    """
    try:
        return await jobs_of(request, batch_id)
    except grpc.aio.AioRpcError as error:
        log.warning(
            "the jobs of a changed batch cannot be read",
            request_id=request.scope["state"]["request_id"],
            batch_id=batch_id,
            grpc_code=error.code().name,
            details=error.details(),
        )
        raise Refused(503, _NOT_SHOWN, HEADERS[503]) from None
