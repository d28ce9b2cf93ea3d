"""Stands before every handler: checks the credential, turns errors into gRPC statuses.

Servicers just raise, and ask `current_caller` who is calling.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import grpc
import structlog

from tweezer.rpc.access import ACCESS, Access
from tweezer.rpc.buckets import Buckets
from tweezer.rpc.context import Context
from tweezer.rpc.errors import NotFound, TooMuch, Unauthenticated, abort, status_of
from tweezer.rpc.identity import set_caller
from tweezer.rpc.internal_callers import InternalCallers
from tweezer.rpc.verifier import TokenVerifier
from tweezer.rpc.wrapping import Wrapping, metadata_of

log = structlog.get_logger(__name__)

_BEARER: Final = "bearer"


class CallGuard(Wrapping):
    """Admits calls by the access table and maps what their handlers raise."""

    def __init__(
        self, verifier: TokenVerifier, internal: InternalCallers, user_calls: Buckets
    ) -> None:
        super().__init__()
        self._verifier, self._internal = verifier, internal
        self._user_calls = user_calls

    @asynccontextmanager
    async def around(self, method: str, context: Context) -> AsyncIterator[None]:
        """Admits a call and turns what its handler raises into a status."""
        try:
            await self._admit(method, context)
            yield
        except grpc.aio.AbortError:
            raise
        except Exception as error:  # noqa: BLE001 - the boundary of the process
            await _refuse(context, method, error)

    async def _admit(self, method: str, context: Context) -> None:
        access = ACCESS.get(method)
        if access is Access.ANYBODY:
            return
        scheme, credential = _authorization(context)
        if access in (Access.USER, Access.OPERATOR):
            if scheme.lower() != _BEARER or not credential:
                raise Unauthenticated("a bearer token is needed")
            caller = await self._verifier.verify(credential)
            self._count(caller.user_id)
            if access is Access.OPERATOR and not caller.operator:
                # What is forbidden looks like what does not exist.
                raise NotFound("not found")
            set_caller(caller)
        elif access is Access.SERVICE:
            if not self._internal.admits(method, context):
                # Internal RPCs do not exist for anybody else.
                raise NotFound("not found")
        else:
            log.error("an RPC that is not in the access table was called", method=method)
            raise NotFound("not found")

    def _count(self, user_id: str) -> None:
        wait = self._user_calls.wait(user_id)
        if wait > 0:
            raise TooMuch("too many calls; try again in a moment", wait)
        self._user_calls.take(user_id)


def _authorization(context: Context) -> tuple[str, str]:
    scheme, _, credential = (metadata_of(context, "authorization") or "").partition(" ")
    return scheme, credential


async def _refuse(context: Context, method: str, error: Exception) -> None:
    code = status_of(error)
    if code is not None:
        await abort(context, code, error)
    if isinstance(error, grpc.aio.AioRpcError) and error.code() in _PASSED_ON:
        # A service behind this one is away or slow: the caller may try again.
        code = _PASSED_ON[error.code()]
        await context.abort(code, "a part of the system is not available at present")
    if isinstance(error, grpc.aio.AioRpcError) and _is_overloaded(error):
        await context.abort(error.code(), error.details() or "")
    log.error("unexpected error", method=method, exc_info=error)
    await context.abort(grpc.StatusCode.INTERNAL, "internal error")


def _is_overloaded(error: grpc.aio.AioRpcError) -> bool:
    """Says whether a service behind this one takes no more; a message too large is our mistake."""
    too_large = "message larger than max" in (error.details() or "")
    return error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED and not too_large


_PASSED_ON: Final = {
    grpc.StatusCode.UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED: grpc.StatusCode.DEADLINE_EXCEEDED,
    # A service that stops cancels the calls that it has not begun to serve.
    grpc.StatusCode.CANCELLED: grpc.StatusCode.UNAVAILABLE,
}
