"""Traces of requests through the processes, for a collector of OpenTelemetry.

The libraries come with the extra `tracing` and are imported only where traces are wanted.
"""

import asyncio
import re
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

from tweezer.process import propagation
from tweezer.process.run import StartFailed

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, SpanContext, SpanKind

Attributes = Mapping[str, str | int]

#: Version, trace, span and flags of W3C Trace Context.
_TRACEPARENT: Final = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")

#: How long the spans that are left may take to be sent when the process ends, in milliseconds.
_LAST_SPANS_MS: Final = 2000

#: What is being recorded for the current task.
_span: "ContextVar[Span | None]" = ContextVar("span", default=None)


class Tracing:
    """Records spans with a provider of OpenTelemetry."""

    def __init__(self, provider: "TracerProvider") -> None:
        from opentelemetry.trace import SpanKind

        self._tracer, self._kinds = provider.get_tracer("tweezer"), SpanKind

    @contextmanager
    def request(self, name: str, given: str | None, attributes: Attributes) -> Iterator["Span"]:
        """Records the handling of a request; `given` is the traceparent that came with it."""
        with self._record(name, _read(given), self._kinds.SERVER, attributes) as span:
            yield span

    @contextmanager
    def work_for_batch(self, name: str, batch_id: str, attributes: Attributes) -> Iterator["Span"]:
        """Records work for a batch that is done after the request, in a trace of the batch.

        The identifier of that trace is the batch's own, without dashes. So nothing has to be
        stored or passed on for the work to be found from the request, and the other way round.
        """
        named = {**attributes, "tweezer.batch_id": batch_id}
        parent = _trace_of_batch(batch_id)
        with self._record(name, parent, self._kinds.CONSUMER, named) as span:
            yield span

    @contextmanager
    def _record(
        self, name: str, parent: "SpanContext | None", kind: "SpanKind", attributes: Attributes
    ) -> Iterator["Span"]:
        from opentelemetry.context import Context
        from opentelemetry.trace import NonRecordingSpan, set_span_in_context

        context = Context()
        if parent is not None:
            context = set_span_in_context(NonRecordingSpan(parent), context)
        span = self._tracer.start_span(name, context, kind, attributes)
        before = _span.get(), propagation.traceparent.get()
        _span.set(span)
        propagation.traceparent.set(_written(span.get_span_context()))
        try:
            yield span
        except Exception as error:
            span.record_exception(error)
            raise
        finally:
            span.end()
            _span.set(before[0])
            propagation.traceparent.set(before[1])


def link_to_batch(batch_id: str) -> None:
    """Links what is being recorded, if anything is, with the trace of a batch."""
    span = _span.get()
    if span is not None:
        span.set_attribute("tweezer.batch_id", batch_id)
        span.add_link(_trace_of_batch(batch_id))


@asynccontextmanager
async def tracing_to(endpoint: str, process: str) -> AsyncIterator[Tracing]:
    """Sends spans to the collector at an address while the body runs."""
    try:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise StartFailed(
            "traces are asked for (TWEEZER_OTEL_ENDPOINT) but the libraries for them are not "
            "there: install tweezer[tracing]"
        ) from None
    provider = TracerProvider(
        resource=Resource.create({"service.name": f"tweezer-{process}"}), shutdown_on_exit=False
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
    try:
        yield Tracing(provider)
    finally:
        await asyncio.to_thread(_close, provider)


def _close(provider: "TracerProvider") -> None:
    provider.force_flush(_LAST_SPANS_MS)
    provider.shutdown()


def _read(given: str | None) -> "SpanContext | None":
    """Returns the caller's span; None for a traceparent that is none."""
    from opentelemetry.trace import SpanContext, TraceFlags

    match = _TRACEPARENT.fullmatch(given or "")
    if match is None:
        return None
    trace_id, span_id, flags = (int(part, 16) for part in match.groups())
    context = SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(flags & 1))
    return context if context.is_valid else None


def _written(context: "SpanContext") -> str:
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags & 1:02x}"


def _trace_of_batch(batch_id: str) -> "SpanContext":
    """Returns the root of the trace of a batch, which nobody records."""
    from opentelemetry.trace import SpanContext, TraceFlags

    number = uuid.UUID(batch_id).int
    root = number & (2**64 - 1)
    return SpanContext(number, root, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
