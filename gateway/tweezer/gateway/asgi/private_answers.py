"""Keeps answers out of caches: they are for their caller only."""

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_CACHE: Final = b"cache-control"

_NEVER: Final = (_CACHE, b"no-store")

#: A result is what a program made: no browser may take it for a page.
_AS_IT_SAYS: Final = (b"x-content-type-options", b"nosniff")


class PrivateAnswers:
    """Says on each answer that nobody may store it, unless its route says something else."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on."""

        async def send_marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message["headers"]
                own = any(name == _CACHE for name, _ in headers)
                more = (_AS_IT_SAYS,) if own else (_AS_IT_SAYS, _NEVER)
                message["headers"] = [*headers, *more]
            await send(message)

        await self._app(scope, receive, send_marked)
