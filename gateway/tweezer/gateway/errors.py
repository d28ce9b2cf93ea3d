"""Turns everything that can go wrong into JSON that the public client can print."""

import math
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import grpc
import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from google.rpc import error_details_pb2
from grpc_status import rpc_status  # type: ignore[import-untyped]
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from tweezer.gateway import jsend
from tweezer.gateway.problems import InvalidRequest, Problem, Refused

log = structlog.get_logger(__name__)

_Code = grpc.StatusCode

HTTP_STATUS: Final[Mapping[grpc.StatusCode, int]] = {
    _Code.INVALID_ARGUMENT: 422,
    _Code.OUT_OF_RANGE: 422,
    _Code.UNAUTHENTICATED: 401,
    _Code.PERMISSION_DENIED: 403,
    _Code.NOT_FOUND: 404,
    _Code.FAILED_PRECONDITION: 409,
    _Code.ALREADY_EXISTS: 409,
    _Code.ABORTED: 409,
    _Code.RESOURCE_EXHAUSTED: 429,
    _Code.UNIMPLEMENTED: 501,
    _Code.UNAVAILABLE: 503,
    # A service that stops cancels the calls it is serving.
    _Code.CANCELLED: 503,
    _Code.DEADLINE_EXCEEDED: 504,
}

#: Headers that tell a client what to do about a status.
HEADERS: Final[Mapping[int, Mapping[str, str]]] = {
    401: {"WWW-Authenticate": "Bearer"},
    429: {"Retry-After": "1"},
    503: {"Retry-After": "1"},
}

#: The texts of these name addresses and other internals, so they are logged and not sent.
_OWN_WORDS: Final[Mapping[int, str]] = {
    500: "internal error",
    501: "this part of the system does not offer the operation",
    503: "a part of the system is not available at present; try again in a moment",
    504: "a part of the system did not answer in time",
}

_FIELD_STEP: Final = re.compile(r"\[(\d+)\]|([^.\[\]]+)")


def add_error_handlers(app: FastAPI) -> None:
    """Makes the app answer errors in JSend; unexpected ones are the crash guard's."""
    app.add_exception_handler(Refused, on_refused)
    app.add_exception_handler(InvalidRequest, on_invalid_request)
    app.add_exception_handler(RequestValidationError, on_invalid_path)
    app.add_exception_handler(grpc.aio.AioRpcError, on_rpc_error)
    app.add_exception_handler(HTTPException, on_http_exception)


async def on_refused(_: Request, error: Exception) -> Response:
    """Answers what the gateway itself refuses."""
    assert isinstance(error, Refused)
    return jsend.failure(error.status, error.description, headers=error.headers)


async def on_invalid_request(_: Request, error: Exception) -> Response:
    """Answers malformed input."""
    assert isinstance(error, InvalidRequest)
    return jsend.failure(422, error.problems)


async def on_invalid_path(_: Request, error: Exception) -> Response:
    """Answers path parameters that FastAPI found malformed."""
    assert isinstance(error, RequestValidationError)
    problems = [
        Problem(loc=list(found["loc"]), msg=found["msg"], type=found["type"])
        for found in error.errors()
    ]
    return jsend.failure(422, problems)


async def on_http_exception(_: Request, error: Exception) -> Response:
    """Answers unknown paths and methods."""
    assert isinstance(error, HTTPException)
    words = {404: "there is no such path", 405: "the path does not take this method"}
    description = words.get(error.status_code, error.detail)
    return jsend.failure(error.status_code, description, headers=error.headers)


async def on_rpc_error(request: Request, error: Exception) -> Response:
    """Answers a call to a service that failed."""
    assert isinstance(error, grpc.aio.AioRpcError)
    status = http_status(error)
    if status == 422:
        return jsend.failure(422, problems_of(error, request))
    if status >= 500:
        log.warning(
            "a call to a service failed",
            request_id=request.scope["state"]["request_id"],
            path=request.scope["path"],
            grpc_code=error.code().name,
            details=error.details(),
        )
    return jsend.failure(status, description_of(error), headers=headers_of(error))


def headers_of(error: grpc.aio.AioRpcError) -> Mapping[str, str] | None:
    """Returns the headers that tell a client what to do, for example when to come again."""
    status = http_status(error)
    found = rpc_status.from_call(error) if status == 429 else None
    for detail in found.details if found is not None else ():
        retry = error_details_pb2.RetryInfo()
        if detail.Unpack(retry):
            seconds = max(1, math.ceil(retry.retry_delay.ToNanoseconds() / 1e9))
            return {"Retry-After": str(seconds)}
    return HEADERS.get(status)


def http_status(error: grpc.aio.AioRpcError) -> int:
    """Returns the HTTP status that says the same as a gRPC error."""
    return HTTP_STATUS.get(error.code(), 500)


def description_of(error: grpc.aio.AioRpcError) -> str:
    """Returns the sentence for the caller."""
    status = http_status(error)
    return _OWN_WORDS.get(status) or error.details() or HTTPStatus(status).phrase


def problems_of(error: grpc.aio.AioRpcError, request: Request) -> list[Problem]:
    """Returns what a service found wrong, located in the HTTP request."""
    violations = _violations(error)
    if not violations:
        message = description_of(error)
        return [{"loc": located(request, ""), "msg": message, "type": "value_error"}]
    return [
        {
            "loc": located(request, violation.field),
            "msg": violation.description,
            "type": "value_error",
        }
        for violation in violations
    ]


def field_path(field: str) -> list[str | int]:
    """Returns `jobs[3].variables.omega` as its steps."""
    return [int(index) if index else name for index, name in _FIELD_STEP.findall(field)]


def input_is(request: Request, field: str) -> None:
    """Says which field of a service's request the body or the query of the request became.

    The body `[{"runs": 1}]` becomes the field `jobs`: what the service calls `jobs[0].runs`, the
    caller knows as `[0].runs`.
    """
    request.state.input_field = field_path(field)


def located(request: Request, field: str) -> list[str | int]:
    """Returns where in the HTTP request the field of a service's request is."""
    steps = field_path(field)
    if field in request.path_params:
        return ["path", *steps]
    own = getattr(request.state, "input_field", [])
    if steps[: len(own)] == own:
        steps = steps[len(own) :]
    documented = request.scope["route"].openapi_extra or {}
    return ["body" if "requestBody" in documented else "query", *steps]


def _violations(
    error: grpc.aio.AioRpcError,
) -> list[error_details_pb2.BadRequest.FieldViolation]:
    violations: list[error_details_pb2.BadRequest.FieldViolation] = []
    status = rpc_status.from_call(error)
    for detail in status.details if status is not None else ():
        bad_request = error_details_pb2.BadRequest()
        if detail.Unpack(bad_request):
            violations.extend(bad_request.field_violations)
    return violations
