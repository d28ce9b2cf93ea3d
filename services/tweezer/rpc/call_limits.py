"""Bounds how many calls are handled at the same time."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc

from tweezer.rpc.access import ACCESS, Access
from tweezer.rpc.call_classes import CallClass, class_of
from tweezer.rpc.context import Context
from tweezer.rpc.settings import RpcSettings
from tweezer.rpc.wrapping import Wrapping


class CallLimits(Wrapping):
    """Turns away calls when too many of their class are under way.

    Clients are told RESOURCE_EXHAUSTED. Our own processes are told UNAVAILABLE, which they take for
    what it is: they come again, a little later.
    """

    def __init__(self, settings: RpcSettings) -> None:
        super().__init__()
        self._most = {
            CallClass.PUBLIC: settings.max_public_calls,
            CallClass.INTERNAL: settings.max_internal_calls,
            CallClass.WAITING: settings.max_waiting_calls,
        }
        self._under_way = dict.fromkeys(self._most, 0)

    @asynccontextmanager
    async def around(self, method: str, context: Context) -> AsyncIterator[None]:
        """Counts a call as long as it is under way."""
        kind = class_of(method)
        if kind is CallClass.EXEMPT:
            yield
            return
        if self._under_way[kind] >= self._most[kind]:
            internal = ACCESS.get(method) is Access.SERVICE
            code = grpc.StatusCode.UNAVAILABLE if internal else grpc.StatusCode.RESOURCE_EXHAUSTED
            await context.abort(code, "too many calls at the same time; try again in a moment")
        self._under_way[kind] += 1
        try:
            yield
        finally:
            self._under_way[kind] -= 1
