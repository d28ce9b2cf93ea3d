"""Bounds request bodies and inflates compressed ones, while they are read."""

import asyncio
import zlib
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tweezer.gateway.problems import Refused

#: Makes zlib expect a gzip header and trailer.
_GZIP: Final = 31


class BoundedBody:
    """Hands the app plain bodies of at most `max_bytes`.

    The bound holds for what is sent and for what it inflates to, and nothing beyond it is ever
    inflated. A sender that keeps the app waiting for longer than `patience`, in seconds, is given
    up. The refusal is raised where the app reads the body.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, patience: float) -> None:
        self._app, self._max_bytes, self._patience = app, max_bytes, patience

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on."""
        if scope["type"] == "http":
            receive = _Body(scope, receive, self._max_bytes, self._patience).receive
        await self._app(scope, receive, send)


class _Body:
    def __init__(self, scope: Scope, receive: Receive, max_bytes: int, patience: float) -> None:
        self._scope, self._receive = scope, receive
        self._max_bytes, self._patience = max_bytes, patience
        self._sent = 0
        self._begun = False
        self._ended = False
        self._inflater: _Inflater | None = None

    async def receive(self) -> Message:
        if not self._begun:
            self._begin()
        message = await self._next()
        if message["type"] != "http.request":
            return message
        chunk = message.get("body", b"")
        self._sent += len(chunk)
        if self._sent > self._max_bytes:
            raise _too_large(self._max_bytes)
        if self._inflater is not None:
            chunk = self._inflater.feed(chunk)
            if not message.get("more_body", False) and self._sent:
                self._inflater.finish()
            return {**message, "body": chunk}
        return message

    async def _next(self) -> Message:
        if self._ended:  # what comes now is that the caller went away, and may take long
            return await self._receive()
        try:
            async with asyncio.timeout(self._patience):
                message = await self._receive()
        except TimeoutError:
            raise Refused(
                408, f"no more of the body came for {self._patience:g} s", {"Connection": "close"}
            ) from None
        self._ended = not message.get("more_body", False)
        return message

    def _begin(self) -> None:
        """Reads the headers; called late, because most requests have no body."""
        self._begun = True
        for name, value in self._scope["headers"]:
            if name == b"content-length" and value.isdigit() and int(value) > self._max_bytes:
                # Before the body is asked for.
                raise _too_large(self._max_bytes)
            if name == b"content-encoding":
                self._set_encoding(value.decode("latin-1").strip().lower())

    def _set_encoding(self, encoding: str) -> None:
        if encoding in ("gzip", "x-gzip") and self._inflater is None:
            self._inflater = _Inflater(self._max_bytes)
        elif encoding != "identity":
            raise Refused(
                415,
                "the body may be compressed with gzip only, and once",
                {"Accept-Encoding": "gzip"},
            )


class _Inflater:
    """Inflates one gzip member up to a bound."""

    def __init__(self, max_bytes: int) -> None:
        self._zlib = zlib.decompressobj(_GZIP)
        self._max_bytes = self._left = max_bytes

    def feed(self, chunk: bytes) -> bytes:
        try:
            # One byte more than allowed tells too much from just enough.
            plain = self._zlib.decompress(chunk, self._left + 1)
        except zlib.error:
            raise _not_gzip() from None
        self._left -= len(plain)
        if self._left < 0:
            raise _too_large(self._max_bytes)
        if self._zlib.unused_data:
            raise _not_gzip()
        return plain

    def finish(self) -> None:
        if not self._zlib.eof:
            raise _not_gzip()


def _too_large(max_bytes: int) -> Refused:
    return Refused(413, f"the body is larger than {max_bytes} bytes")


def _not_gzip() -> Refused:
    return Refused(400, "the body is not one whole piece of gzip data")
