"""Routes that spare a request most of FastAPI's way to the function."""

import inspect
import re
from typing import Any, Final

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

#: As identifiers are written nearly always; every other spelling takes the long way.
_CANONICAL: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class DirectRoute(APIRoute):
    """A route whose function takes the request and identifiers from the path, and nothing else.

    FastAPI makes two stacks, solves dependencies and runs pydantic for each request, which costs
    more than all that such a function does. Only a path with an identifier that is not written
    canonically goes that way. The OpenAPI page is made as for every other route.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names = set(inspect.signature(self.endpoint).parameters)
        if names == {"request", *self.param_convertors} and not self.dependencies:
            self.app = _Direct(self.endpoint, self.app)


class _Direct:
    """Calls the function; the app's handlers take what it raises."""

    def __init__(self, endpoint: Any, checked: ASGIApp) -> None:
        self._endpoint, self._checked = endpoint, checked

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        identifiers = scope["path_params"]
        if not all(map(_CANONICAL.fullmatch, identifiers.values())):
            await self._checked(scope, receive, send)
            return
        response = await self._endpoint(Request(scope, receive, send), **identifiers)
        await response(scope, receive, send)
