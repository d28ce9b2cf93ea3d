"""The errors a caller can cause, and the one place that gives each its gRPC status."""

import math
from collections.abc import Mapping
from typing import Final, NoReturn

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc import code_pb2, error_details_pb2, status_pb2

from tweezer.lifecycle import IllegalTransition
from tweezer.rpc.context import Context


class DomainError(Exception):
    """Base of the errors a caller can cause; the text is for the caller."""


class NotFound(DomainError):
    """The named thing does not exist, or is not the caller's."""


class InvalidInput(DomainError):
    """The request can never succeed as it is.

    `field` is the path of the field at fault as in `jobs[3].variables.omega`.
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field, self.reason = field, reason


class NotAllowedNow(DomainError):
    """The request does not fit the state of the thing it names."""


class AlreadyExists(DomainError):
    """The name that the request gives is taken by something else."""


class Unauthenticated(DomainError):
    """The call carries no valid credential."""


class TooMuch(DomainError):
    """A limit is reached; the same call may succeed later, after so many seconds where known."""

    def __init__(self, reason: str, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class Unavailable(DomainError):
    """Something the call needs is not there at present."""


STATUS_OF: Final[Mapping[type[Exception], grpc.StatusCode]] = {
    NotFound: grpc.StatusCode.NOT_FOUND,
    InvalidInput: grpc.StatusCode.INVALID_ARGUMENT,
    NotAllowedNow: grpc.StatusCode.FAILED_PRECONDITION,
    IllegalTransition: grpc.StatusCode.FAILED_PRECONDITION,
    AlreadyExists: grpc.StatusCode.ALREADY_EXISTS,
    Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    TooMuch: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Unavailable: grpc.StatusCode.UNAVAILABLE,
}

#: Trailing metadata key of google.rpc.Status, as grpcio-status reads it.
_DETAILS_KEY: Final = "grpc-status-details-bin"


def status_of(error: Exception) -> grpc.StatusCode | None:
    """Returns the status of an error, or None for one that is not the caller's doing."""
    return next((code for kind, code in STATUS_OF.items() if isinstance(error, kind)), None)


async def abort(context: Context, code: grpc.StatusCode, error: Exception) -> NoReturn:
    """Ends the call with the error's text; the details name the field of invalid input, or say when
    to come again.
    """
    details: tuple[tuple[str, bytes], ...] = ()
    if isinstance(error, InvalidInput):
        details = ((_DETAILS_KEY, _bad_request(error).SerializeToString()),)
    elif isinstance(error, TooMuch) and error.retry_after_s is not None:
        status = _come_again(error, error.retry_after_s)
        details = ((_DETAILS_KEY, status.SerializeToString()),)
    await context.abort(code, str(error), details)
    raise AssertionError("context.abort returned")


def _bad_request(error: InvalidInput) -> status_pb2.Status:
    violation = error_details_pb2.BadRequest.FieldViolation(
        field=error.field, description=error.reason
    )
    detail = AnyMessage()
    detail.Pack(error_details_pb2.BadRequest(field_violations=[violation]))
    return status_pb2.Status(code=code_pb2.INVALID_ARGUMENT, message=str(error), details=[detail])


def _come_again(error: TooMuch, after_s: float) -> status_pb2.Status:
    seconds, nanos = divmod(math.ceil(after_s * 1e9), 1_000_000_000)
    detail = AnyMessage()
    delay = Duration(seconds=seconds, nanos=nanos)
    detail.Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    return status_pb2.Status(code=code_pb2.RESOURCE_EXHAUSTED, message=str(error), details=[detail])
