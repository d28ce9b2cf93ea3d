"""Requests that their caller has named, so that they can be sent again and are done once."""

import asyncio
import re
from typing import Any, Final, Protocol, TypeVar

import grpc
from starlette.requests import Request

from tweezer.gateway.calls import call, seconds_left
from tweezer.gateway.problems import invalid
from tweezer.process.backoff import Backoff
from tweezer.process.channels import REPEATED_AFTER

HEADER: Final = "Idempotency-Key"

#: Printable ASCII; servers strip the blanks around it.
_NAME: Final = re.compile(r"[\x20-\x7e]{1,255}")

#: Pauses between attempts, in seconds: the first and the longest.
_PAUSES: Final = (0.1, 1.0)

#: How the OpenAPI page describes the header.
PARAMETER: Final[dict[str, Any]] = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": "Names the request, so that it can be sent again and is done once: within a day "
    "the same request of the same user is answered as the first time, and another one under this "
    "name is refused with 422. An extension: the public cloud has no such header.",
    "schema": {
        "type": "string",
        "minLength": 1,
        "maxLength": 255,
        "pattern": "^[!-~]([ -~]*[!-~])?$",
    },
}


class _Named(Protocol):
    request_id: str


_Request = TypeVar("_Request", bound=_Named)
_Response = TypeVar("_Response")


async def call_once(
    request: Request,
    method: grpc.aio.UnaryUnaryMultiCallable[_Request, _Response],
    message: _Request,
) -> _Response:
    """Makes a call that makes something; one that is named outlasts a short absence of a service.

    Without a name it is never sent again: it might have been done although no answer came.
    """
    name = _name_of(request)
    if name is None:
        return await call(request, method, message)
    message.request_id = name
    backoff = Backoff(*_PAUSES)
    while True:
        try:
            return await call(request, method, message)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.ALREADY_EXISTS:
                # 422 is what the IETF's draft of the header says.
                raise invalid(
                    ["header", HEADER], "this name was given to another request", "conflict"
                ) from error
            wait_s = backoff.wait_s()
            if error.code() not in REPEATED_AFTER or seconds_left(request) < wait_s:
                raise
            await asyncio.sleep(wait_s)


def _name_of(request: Request) -> str | None:
    given = request.headers.getlist(HEADER)
    if not given:
        return None
    if len(given) > 1 or not _NAME.fullmatch(given[0]):
        raise invalid(["header", HEADER], "must be one text of 1 to 255 printable ASCII characters")
    return given[0]
