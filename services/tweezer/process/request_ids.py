"""The identifier of a request: every log message and every call made for the request carries it."""

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

#: The name in gRPC metadata; as an HTTP header it is written X-Request-ID.
KEY: Final = "x-request-id"

#: Identifiers of callers go into the log, so only harmless ones are kept.
_HARMLESS: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")

_current: ContextVar[str | None] = ContextVar("request_id", default=None)


def accept(given: str | None) -> str:
    """Returns the identifier that a caller gave if it is harmless, and a new one otherwise."""
    if given is not None and _HARMLESS.fullmatch(given):
        return given
    return uuid.uuid4().hex


def bind(request_id: str) -> None:
    """Makes it the identifier of the current task and of those that it starts."""
    _current.set(request_id)


@contextmanager
def bound(request_id: str) -> Iterator[None]:
    """Makes it the identifier while the body runs."""
    before = _current.set(request_id)
    try:
        yield
    finally:
        _current.reset(before)


def current() -> str | None:
    """Returns the identifier of the request that is being handled, if one is."""
    return _current.get()
