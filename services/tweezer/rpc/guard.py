"""Stands before every handler: checks the credential, turns errors into gRPC statuses.

Servicers just raise, and ask `current_caller` who is calling.
"""

import inspect
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

import grpc
import structlog

from tweezer.rpc.access import ACCESS, Access
from tweezer.rpc.context import Context
from tweezer.rpc.errors import NotFound, Unauthenticated, abort, status_of
from tweezer.rpc.identity import TokenVerifier, set_caller
from tweezer.rpc.service_key import SCHEME

log = structlog.get_logger(__name__)

_BEARER: Final = "bearer"


class CallGuard(grpc.aio.ServerInterceptor):
    """Admits calls by the access table and maps what their handlers raise."""

    def __init__(self, verifier: TokenVerifier, service_key: str) -> None:
        self._verifier, self._service_key = verifier, service_key

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Wraps the handler of a call."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None:
            return None
        if handler.unary_unary is not None:
            return grpc.unary_unary_rpc_method_handler(
                self._unary(method, handler.unary_unary),
                handler.request_deserializer,
                handler.response_serializer,
            )
        if handler.unary_stream is not None:
            return grpc.unary_stream_rpc_method_handler(
                self._stream(method, handler.unary_stream),
                handler.request_deserializer,
                handler.response_serializer,
            )
        if handler.stream_stream is not None:  # server reflection
            return grpc.stream_stream_rpc_method_handler(
                self._stream(method, handler.stream_stream),
                handler.request_deserializer,
                handler.response_serializer,
            )
        raise TypeError(f"{method} is of a kind that the guard does not know")

    def _unary(self, method: str, handle: Any) -> Any:
        async def call(request: Any, context: Context) -> Any:
            try:
                self._admit(method, context)
                return await handle(request, context)
            except grpc.aio.AbortError:
                raise
            except Exception as error:  # noqa: BLE001 - the boundary of the process
                return await _refuse(context, method, error)

        return call

    def _stream(self, method: str, handle: Any) -> Any:
        if inspect.iscoroutinefunction(handle):
            # A handler of the other style: it writes its responses itself. Health.Watch does.
            return self._unary(method, handle)

        async def iterate(request: Any, context: Context) -> AsyncIterator[Any]:
            try:
                self._admit(method, context)
                async for response in handle(request, context):
                    yield response
            except grpc.aio.AbortError:
                raise
            except Exception as error:  # noqa: BLE001 - the boundary of the process
                await _refuse(context, method, error)

        return iterate

    def _admit(self, method: str, context: Context) -> None:
        access = ACCESS.get(method)
        if access is Access.ANYBODY:
            return
        scheme, credential = _authorization(context)
        if access in (Access.USER, Access.OPERATOR):
            if scheme.lower() != _BEARER or not credential:
                raise Unauthenticated("a bearer token is needed")
            caller = self._verifier.verify(credential)
            if access is Access.OPERATOR and not caller.operator:
                # What is forbidden looks like what does not exist.
                raise NotFound("not found")
            set_caller(caller)
        elif access is Access.SERVICE:
            genuine = secrets.compare_digest(credential.encode(), self._service_key.encode())
            if scheme != SCHEME or not genuine:
                # Internal RPCs do not exist for anybody else.
                raise NotFound("not found")
        else:
            log.error("an RPC that is not in the access table was called", method=method)
            raise NotFound("not found")


def _authorization(context: Context) -> tuple[str, str]:
    for key, value in context.invocation_metadata() or ():
        if key == "authorization":
            text = value if isinstance(value, str) else value.decode("ascii", "replace")
            scheme, _, credential = text.partition(" ")
            return scheme, credential
    return "", ""


async def _refuse(context: Context, method: str, error: Exception) -> None:
    code = status_of(error)
    if code is not None:
        await abort(context, code, error)
    if isinstance(error, grpc.aio.AioRpcError) and error.code() in _PASSED_ON:
        # A service behind this one is away or slow: the caller may try again.
        await context.abort(error.code(), "a part of the system is not available at present")
    log.error("unexpected error", method=method, exc_info=error)
    await context.abort(grpc.StatusCode.INTERNAL, "internal error")


_PASSED_ON: Final = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
