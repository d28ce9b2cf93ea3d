"""Answers a request whose handling failed unexpectedly, without telling why."""

import asyncio

import grpc
import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tweezer.gateway import jsend
from tweezer.gateway.asgi.observed import route_of
from tweezer.gateway.errors import HEADERS

log = structlog.get_logger(__name__)


class CrashGuard:
    """Logs what no error handler expected and answers 500 in JSend.

    A request that the server cuts off, because the process stops and cannot wait any longer, is
    answered with 503: the next process will serve it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on."""
        started = False

        async def noting_send(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, noting_send)
        except ClientDisconnect:
            # There is nobody left to answer.
            log.debug("the caller went away", route=route_of(scope))
        except asyncio.CancelledError:
            if scope["type"] != "http":
                raise
            if started:
                log.info("an answer is cut off: the process stops", route=route_of(scope))
                return  # unfinished: see below
            answer = jsend.failure(503, "the service is stopping", headers=HEADERS[503])
            await answer(scope, receive, send)
        except Exception as error:
            if scope["type"] != "http":
                raise
            if started:
                # Unfinished: the server breaks the connection, so that half an answer is not taken
                # for one.
                _log_broken_off(error, route_of(scope))
                return
            request_id = scope["state"]["request_id"]
            # Not the path: that of a result is the right to download it.
            route = route_of(scope)
            log.error("unexpected error", request_id=request_id, route=route, exc_info=error)
            answer = jsend.failure(500, "internal error", request_id=request_id)
            await answer(scope, receive, send)


def _log_broken_off(error: Exception, route: str | None) -> None:
    # The framework raises an error of its own when it is too late for an error answer.
    cause = error if error.__cause__ is None else error.__cause__
    if isinstance(cause, grpc.aio.AioRpcError):  # a service went away, which it says itself
        log.warning("an answer broke off", route=route, grpc_code=cause.code().name)
    else:
        log.error("an answer broke off", route=route, exc_info=error)
