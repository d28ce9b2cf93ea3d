"""Serves the API under a path prefix as well, without a second set of routes."""

from starlette.types import ASGIApp, Receive, Scope, Send


class Prefix:
    """Declares a prefix of the path to be where the app is mounted.

    The public cloud serves its core API under /core-fast, and some clients have that built in.
    """

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self._app, self._prefix = app, prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on."""
        if scope["type"] == "http" and scope["path"].startswith(f"{self._prefix}/"):
            scope["root_path"] = self._prefix
        await self._app(scope, receive, send)
