"""Keeps record of each call: the identifier of its request, a log line, metrics and a span."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from functools import cache
from typing import Any, Final

import grpc
import structlog
from prometheus_client import Counter, Gauge, Histogram

from tweezer.process import request_ids
from tweezer.process.metrics import ANSWER_TIMES
from tweezer.process.propagation import TRACEPARENT
from tweezer.process.telemetry import Telemetry
from tweezer.rpc.call_classes import CallClass, class_of
from tweezer.rpc.context import Context
from tweezer.rpc.wrapping import Wrapping, metadata_of

log = structlog.get_logger(__name__)

_Code = grpc.StatusCode

_CODES: Final = {code.value[0]: code for code in _Code}

#: What is nobody's doing but ours.
_OURS: Final = frozenset(
    {
        _Code.INTERNAL,
        _Code.UNKNOWN,
        _Code.UNAVAILABLE,
        _Code.DEADLINE_EXCEEDED,
        _Code.RESOURCE_EXHAUSTED,
        _Code.DATA_LOSS,
    }
)


class CallRecord(Wrapping):
    """Stands before all others, so that it sees what they answer."""

    def __init__(self, telemetry: Telemetry) -> None:
        super().__init__()
        registry = telemetry.metrics.registry
        self._tracing = telemetry.tracing
        self._calls = Counter(
            "tweezer_grpc_calls",
            "Calls that ended, by method and gRPC status.",
            ["method", "code"],
            registry=registry,
        )
        self._times = Histogram(
            "tweezer_grpc_call_seconds",
            "How long calls took; without those that wait for something to happen.",
            ["method"],
            buckets=ANSWER_TIMES,
            registry=registry,
        )
        self._open = Gauge(
            "tweezer_grpc_open_calls", "Calls under way.", ["method"], registry=registry
        )

        # Looking up a metric by its labels takes longer than counting. There are few of all three.
        self._open_of = cache(self._open.labels)
        self._count_of = cache(self._calls.labels)
        self._time_of = cache(self._times.labels)

    @asynccontextmanager
    async def around(self, method: str, context: Context) -> AsyncIterator[None]:
        """Records a call."""
        request_ids.bind(request_ids.accept(metadata_of(context, request_ids.KEY)))
        waits = class_of(method) is CallClass.WAITING
        under_way = self._open_of(method)
        under_way.inc()
        began = time.perf_counter()
        code = _Code.OK
        with self._span(method, context) as span:
            try:
                yield
            except (asyncio.CancelledError, GeneratorExit):
                # By the caller, by its deadline, or because this process stops.
                code = _Code.CANCELLED
                raise
            except BaseException:
                code = _Code.UNKNOWN
                raise
            finally:
                if code is not _Code.CANCELLED:
                    code = _answered(context, code)
                duration = time.perf_counter() - began
                under_way.dec()
                self._count_of(method, code.name).inc()
                if not waits:
                    self._time_of(method).observe(duration)
                if span is not None:
                    _describe(span, code)
                _log(method, code, duration, context, routine=waits)

    def _span(self, method: str, context: Context) -> AbstractContextManager[Any]:
        if self._tracing is None or class_of(method) is CallClass.EXEMPT:
            return nullcontext()
        given = metadata_of(context, TRACEPARENT)
        return self._tracing.request(method.lstrip("/"), given, {"rpc.system": "grpc"})


def _answered(context: Context, otherwise: grpc.StatusCode) -> grpc.StatusCode:
    """Returns the status that a call was ended with."""
    ended_with: Any = context.code()  # nothing, or what was given: a status or its number
    if isinstance(ended_with, grpc.StatusCode):
        return ended_with
    return _CODES.get(ended_with, otherwise) if ended_with else otherwise


def _describe(span: Any, code: grpc.StatusCode) -> None:
    from opentelemetry.trace import StatusCode

    span.set_attribute("rpc.grpc.status_code", code.value[0])
    if code in _OURS:
        span.set_status(StatusCode.ERROR, code.name)


def _log(
    method: str, code: grpc.StatusCode, duration: float, context: Context, *, routine: bool
) -> None:
    facts = {"method": method, "code": code.name, "duration_ms": round(1000 * duration, 1)}
    if code is _Code.OK or (code is _Code.CANCELLED and routine):
        log.debug("call ended", **facts)
    else:
        write = log.warning if code in _OURS else log.info
        write("call failed", **facts, details=context.details())
