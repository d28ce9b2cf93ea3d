"""Counts, measures and, where that is wanted, traces each request."""

import time
from collections.abc import MutableMapping
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any, Final

import structlog
from prometheus_client import Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tweezer.process.metrics import ANSWER_TIMES
from tweezer.process.propagation import TRACEPARENT
from tweezer.process.telemetry import Telemetry

log = structlog.get_logger(__name__)

#: The route of a request for a path that does not exist.
_NO_ROUTE: Final = "none"

#: The answer of a request that was broken off before one began.
_NO_ANSWER: Final = 0


class Observed:
    """Keeps record by route: paths have identifiers in them, and there is no end of those."""

    def __init__(self, app: ASGIApp, telemetry: Telemetry) -> None:
        self._app, self._tracing = app, telemetry.tracing
        registry = telemetry.metrics.registry
        self._requests = Counter(
            "tweezer_http_requests",
            "Requests that ended, by method, route and status; status 0 is no answer at all.",
            ["method", "route", "status"],
            registry=registry,
        )
        self._times = Histogram(
            "tweezer_http_request_seconds",
            "Time to the beginning of the answer, by route.",
            ["route"],
            buckets=ANSWER_TIMES,
            registry=registry,
        )
        self._open = Gauge("tweezer_http_open_requests", "Requests under way.", registry=registry)
        # Looking up a metric by its labels takes longer than counting. There are few of both.
        self._count_of = cache(self._requests.labels)
        self._time_of = cache(self._times.labels)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        answered, status = began, _NO_ANSWER

        async def noting_send(message: Message) -> None:
            nonlocal answered, status
            if message["type"] == "http.response.start":
                answered, status = time.perf_counter(), message["status"]
            await send(message)

        self._open.inc()
        with self._span(scope) as span:
            try:
                await self._app(scope, receive, noting_send)
            finally:
                self._open.dec()
                route = route_of(scope)
                self._count_of(_method(scope), route, status).inc()
                if status != _NO_ANSWER:
                    self._time_of(route).observe(answered - began)
                if span is not None:
                    _describe(span, scope, route, status)
                log.debug(
                    "request ended",
                    method=scope["method"],
                    route=route,
                    status=status,
                    duration_ms=round(1000 * (time.perf_counter() - began), 1),
                )

    def _span(self, scope: Scope) -> AbstractContextManager[Any]:
        if self._tracing is None:
            return nullcontext()
        given = next(
            (v.decode("latin-1") for k, v in scope["headers"] if k == TRACEPARENT.encode()), None
        )
        # Not the path: that of a result is the right to download it.
        attributes = {"http.request.method": scope["method"]}
        return self._tracing.request(scope["method"], given, attributes)


def route_of(scope: MutableMapping[str, Any]) -> str:
    """Returns the path of the route, with names in the place of identifiers."""
    path: str = getattr(scope.get("route"), "path", _NO_ROUTE)
    return path


def _method(scope: MutableMapping[str, Any]) -> str:
    method: str = scope["method"]
    return method if method in _METHODS else "other"


_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def _describe(span: Any, scope: MutableMapping[str, Any], route: str, status: int) -> None:
    from opentelemetry.trace import StatusCode

    span.update_name(f"{scope['method']} {route}")
    span.set_attribute("http.route", route)
    span.set_attribute("http.response.status_code", status)
    if status >= 500 or status == _NO_ANSWER:
        span.set_status(StatusCode.ERROR)
