"""Batches watched over HTTP: server-sent events, which the public cloud does not have."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Final

import grpc
import orjson
from fastapi import APIRouter, Request, Response
from starlette.responses import StreamingResponse

from tweezer.gateway.calls import Backend, backend_of, metadata, seconds_left
from tweezer.gateway.convert import batches
from tweezer.gateway.documentation import bearer, errors
from tweezer.gateway.problems import Refused
from tweezer.gateway.routes.batches import BatchId
from tweezer.v1.batch_service_pb2 import WatchBatchRequest, WatchBatchResponse

router = APIRouter(tags=["batches"])

_KEEP_ALIVE: Final = b": keep-alive\n\n"

_HEADERS: Final = {
    "Cache-Control": "no-cache",
    # Proxies must pass each event on at once.
    "X-Accel-Buffering": "no",
}

_DOCUMENTED: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "Events named `status`, each with the status and the job counts as JSON.",
        "content": {
            "text/event-stream": {
                "schema": {"type": "string"},
                "example": 'event: status\ndata: {"status":"RUNNING",'
                '"jobs_count_per_status":{"RUNNING":1}}\n\n',
            }
        },
    }
}

_Watch = grpc.aio.UnaryStreamCall[WatchBatchRequest, WatchBatchResponse]


class NothingSent(Exception):
    """A service ended a stream without saying anything."""


@router.get(
    "/api/v1/batches/{batch_id}/events",
    summary="Watch a batch",
    response_class=StreamingResponse,
    responses={**errors(401, 404, 422), **_DOCUMENTED},
    openapi_extra=bearer(),
)
async def watch_batch(request: Request, batch_id: BatchId) -> Response:
    """Sends the status and the job counts as server-sent events, at once and at each change.

    The stream ends when the batch is final; one that breaks off can be opened again. Comments
    keep a silent connection open. An extension: the public cloud has no such operation.
    """
    backend = backend_of(request)
    watch = backend.stubs.batches.WatchBatch(
        WatchBatchRequest(batch_id=batch_id),
        timeout=backend.settings.gateway_events_life,
        metadata=metadata(request),
    )
    states = aiter(watch)
    try:
        # The first state decides between the stream and an error answer.
        async with asyncio.timeout(seconds_left(request)):
            first = await anext(states, None)
        if first is None:
            raise NothingSent
    except TimeoutError:
        raise Refused(504, "a part of the system did not answer in time") from None
    except BaseException:
        watch.cancel()
        raise
    return StreamingResponse(
        _events(backend, first, states, watch), media_type="text/event-stream", headers=_HEADERS
    )


async def _events(
    backend: Backend,
    first: WatchBatchResponse,
    states: AsyncIterator[WatchBatchResponse],
    watch: _Watch,
) -> AsyncIterator[bytes]:
    pause = backend.settings.gateway_events_keep_alive
    following = asyncio.ensure_future(anext(states, None))
    stopping = asyncio.ensure_future(backend.stopping.wait())
    try:
        yield _event(first)
        while True:
            arrived, _ = await asyncio.wait(
                {following, stopping}, timeout=pause, return_when=asyncio.FIRST_COMPLETED
            )
            if stopping in arrived:
                return  # the caller opens it again
            if not arrived:
                yield _KEEP_ALIVE
                continue
            try:
                state = following.result()
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                    return  # after its longest life; the caller opens it again
                raise
            if state is None:
                return
            yield _event(state)
            following = asyncio.ensure_future(anext(states, None))
    finally:
        # The caller may have gone away.
        watch.cancel()
        stopping.cancel()
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError, grpc.aio.AioRpcError):
            await following


def _event(state: WatchBatchResponse) -> bytes:
    return b"event: status\ndata: %b\n\n" % orjson.dumps(batches.batch_status(state))
