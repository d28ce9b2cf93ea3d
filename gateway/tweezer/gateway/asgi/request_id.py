"""Gives each request an identifier, which the answer and the log carry."""

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tweezer.process import request_ids

_HEADER: Final = request_ids.KEY.encode()


class RequestId:
    """Keeps the caller's X-Request-ID or makes one up, in `scope["state"]["request_id"]`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = request_ids.accept(_given(scope))
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (_HEADER, request_id.encode())]
            await send(message)

        with request_ids.bound(request_id):
            await self._app(scope, receive, send_with_id)


def _given(scope: Scope) -> str | None:
    return next((v.decode("latin-1") for name, v in scope["headers"] if name == _HEADER), None)
