"""Gives each request an identifier, which the answer and the log carry."""

import re
import uuid
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HEADER: Final = b"x-request-id"

#: Identifiers of callers go into the log, so only harmless ones are kept.
_HARMLESS: Final = re.compile(rb"[A-Za-z0-9._-]{1,128}")


class RequestId:
    """Keeps the caller's X-Request-ID or makes one up, in `scope["state"]["request_id"]`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        identifier = _given(scope) or uuid.uuid4().hex.encode()
        scope.setdefault("state", {})["request_id"] = identifier.decode()

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (_HEADER, identifier)]
            await send(message)

        await self._app(scope, receive, send_with_id)


def _given(scope: Scope) -> bytes | None:
    for name, value in scope["headers"]:
        if name == _HEADER and _HARMLESS.fullmatch(value):
            return bytes(value)
    return None
