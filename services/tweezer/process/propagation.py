"""What goes along with each call that is made for a request."""

from contextvars import ContextVar
from typing import Final

from tweezer.process import request_ids

#: The name in gRPC metadata and in HTTP, of W3C Trace Context.
TRACEPARENT: Final = "traceparent"

#: Of the span that is being recorded; None when nobody traces.
traceparent: ContextVar[str | None] = ContextVar("traceparent", default=None)


def metadata() -> tuple[tuple[str, str], ...]:
    """Returns the metadata of a call made now: whose request it is for, and of which trace."""
    request_id, trace = request_ids.current(), traceparent.get()
    if request_id is None:
        return ()
    if trace is None:
        return ((request_ids.KEY, request_id),)
    return ((request_ids.KEY, request_id), (TRACEPARENT, trace))
