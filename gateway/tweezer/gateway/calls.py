"""How a route calls a service: with the caller's credential and a deadline."""

import asyncio
import re
from dataclasses import dataclass
from typing import Final, TypeVar, cast

import grpc
from starlette.requests import Request

from tweezer.gateway.errors import HEADERS
from tweezer.gateway.problems import Refused
from tweezer.gateway.settings import GatewaySettings
from tweezer.gateway.stubs import Stubs
from tweezer.process import propagation
from tweezer.process.telemetry import Telemetry

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")

#: What gRPC metadata can carry, and no more than any issuer's token needs.
_CREDENTIAL: Final = re.compile(r"[\x20-\x7e]{1,8192}")


@dataclass(frozen=True, slots=True)
class Backend:
    """What the routes work with; `app.state.backend`."""

    settings: GatewaySettings
    stubs: Stubs
    telemetry: Telemetry
    stopping: asyncio.Event
    """Set when the process is to end: what would go on for long ends now."""


def backend_of(request: Request) -> Backend:
    """Returns what the routes of this app work with."""
    return cast(Backend, request.app.state.backend)


async def call(
    request: Request,
    method: grpc.aio.UnaryUnaryMultiCallable[_Request, _Response],
    message: _Request,
) -> _Response:
    """Calls a service on behalf of the caller.

    All calls for a request share one deadline.
    """
    return await method(message, timeout=seconds_left(request), metadata=metadata(request))


def seconds_left(request: Request) -> float:
    """Returns what is left of the time for a request; it runs from the first call."""
    now, state = asyncio.get_running_loop().time(), request.scope["state"]
    deadline: float | None = state.get("deadline")
    if deadline is None:
        left_s = backend_of(request).settings.gateway_call_deadline
        state["deadline"] = now + left_s
        return left_s
    return max(0.0, deadline - now)


def metadata(request: Request) -> tuple[tuple[str, str], ...]:
    """Returns the metadata of a call: whose request it is for, and the Authorization header as is.

    Whether that is any good, the services decide.
    """
    authorization = request.headers.get("authorization")
    if authorization is None:
        return propagation.metadata()
    if not _CREDENTIAL.fullmatch(authorization):
        raise Refused(401, "the token is not valid", HEADERS[401])
    return (("authorization", authorization), *propagation.metadata())
