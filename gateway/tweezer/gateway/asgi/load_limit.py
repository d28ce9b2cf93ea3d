"""Turns requests away while too many are under way."""

from collections.abc import Callable, Collection
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from tweezer.gateway import jsend
from tweezer.gateway.errors import HEADERS

_TOO_MANY: Final = "too many requests at once; try again in a moment"


class LoadLimit:
    """Lets at most `most` requests of a kind be under way, and answers 429 to those beyond.

    What waits costs memory, and when everything waits nothing ends in time.
    """

    def __init__(self, app: ASGIApp, most: int, counts: Callable[[str], bool]) -> None:
        self._app, self._most, self._counts = app, most, counts
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on; `counts` tells by its path whether it is of the kind."""
        if scope["type"] != "http" or not self._counts(scope["path"]):
            await self._app(scope, receive, send)
        elif self._under_way >= self._most:
            answer = jsend.failure(429, _TOO_MANY, headers=HEADERS[429])
            await answer(scope, receive, send)
        else:
            self._under_way += 1
            try:
                await self._app(scope, receive, send)
            finally:
                self._under_way -= 1


def is_stream(path: str) -> bool:
    """Tells whether a request for this path lasts as long as its caller likes."""
    return path.endswith("/events")


def is_short(path: str) -> bool:
    """Tells whether a request for this path ends by itself."""
    return not is_stream(path) and path not in _ALWAYS_ANSWERED


#: By these operators find out what is wrong when everything else is turned away.
_ALWAYS_ANSWERED: Final[Collection[str]] = frozenset(
    f"{prefix}{path}" for prefix in ("", "/core-fast") for path in ("/health", "/ready", "/metrics")
)
