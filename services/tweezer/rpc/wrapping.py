"""Interceptors that put something around the handler of each call, of whatever kind it is."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import grpc

from tweezer.rpc.context import Context


class Wrapping(grpc.aio.ServerInterceptor, ABC):
    """Runs every handler inside `around`."""

    def __init__(self) -> None:
        # By method. Its handler is the same at each call, so that nobody need be asked again.
        self._wrapped: dict[str, Any] = {}

    @abstractmethod
    def around(self, method: str, context: Context) -> AbstractAsyncContextManager[None]:
        """Returns what a call of the method runs in."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Wraps the handler of a call."""
        method = handler_call_details.method
        wrapped = self._wrapped.get(method)
        if wrapped is None:
            handler = await continuation(handler_call_details)
            if handler is None:
                return None
            wrapped = self._wrapped[method] = self._wrap(method, handler)
        return wrapped

    def _wrap(self, method: str, handler: Any) -> Any:
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
        raise TypeError(f"{method} is of a kind that is not known here")

    def _unary(self, method: str, handle: Any) -> Any:
        async def call(request: Any, context: Context) -> Any:
            async with self.around(method, context):
                return await handle(request, context)

        return call

    def _stream(self, method: str, handle: Any) -> Any:
        if inspect.iscoroutinefunction(handle):
            # A handler of the other style: it writes its responses itself. Health.Watch does.
            return self._unary(method, handle)

        async def iterate(request: Any, context: Context) -> AsyncIterator[Any]:
            async with self.around(method, context):
                async for response in handle(request, context):
                    yield response

        return iterate


def metadata_of(context: Context, name: str) -> str | None:
    """Returns a text that came with a call, if it did."""
    for key, value in context.invocation_metadata() or ():
        if key == name:
            return value if isinstance(value, str) else value.decode("ascii", "replace")
    return None
