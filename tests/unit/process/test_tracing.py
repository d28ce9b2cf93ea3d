"""Spans, and what is passed on of them."""

import re
import sys

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from tweezer.process import propagation, request_ids
from tweezer.process.run import StartFailed
from tweezer.process.tracing import Tracing, link_to_batch, tracing_to

BATCH = "0123abcd-89ab-4def-8123-456789abcdef"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
GIVEN = f"00-{TRACE}-00f067aa0ba902b7-01"


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def tracing(exporter: InMemorySpanExporter) -> Tracing:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return Tracing(provider)


def test_a_request_continues_the_trace_that_it_came_with(tracing, exporter):
    with tracing.request("POST", GIVEN, {"a": 1}), request_ids.bound("r"):
        passed_on = dict(propagation.metadata())

    (span,) = exporter.get_finished_spans()
    assert f"{span.context.trace_id:032x}" == TRACE
    assert f"{span.parent.span_id:016x}" == "00f067aa0ba902b7"
    assert span.kind is SpanKind.SERVER
    assert span.attributes == {"a": 1}
    assert passed_on["traceparent"] == f"00-{TRACE}-{span.context.span_id:016x}-01"


@pytest.mark.parametrize(
    "given", [None, "", "nonsense", GIVEN[:-1], f"00-{'0' * 32}-{'0' * 16}-01"]
)
def test_a_request_without_a_trace_begins_one(tracing, exporter, given):
    with tracing.request("GET", given, {}):
        pass
    (span,) = exporter.get_finished_spans()
    assert span.parent is None


def test_nothing_is_passed_on_outside_of_a_request(tracing):
    with request_ids.bound("r"):
        with tracing.request("GET", None, {}):
            pass
        assert dict(propagation.metadata()) == {"x-request-id": "r"}


def test_what_the_caller_does_not_sample_is_not_recorded(tracing, exporter):
    with tracing.request("GET", f"{GIVEN[:-2]}00", {}), request_ids.bound("r"):
        assert re.fullmatch(f"00-{TRACE}-.{{16}}-00", dict(propagation.metadata())["traceparent"])
    assert exporter.get_finished_spans() == ()


def test_an_error_is_part_of_the_span(tracing, exporter):
    with pytest.raises(ZeroDivisionError), tracing.request("GET", None, {}):
        raise ZeroDivisionError
    (span,) = exporter.get_finished_spans()
    assert [event.name for event in span.events] == ["exception"]
    assert span.status.status_code is StatusCode.UNSET  # that is the caller's to judge


def test_later_work_for_a_batch_is_found_from_the_request_that_made_it(tracing, exporter):
    with tracing.request("POST", None, {}):
        link_to_batch(BATCH)
    with tracing.work_for_batch("run job", BATCH, {"job": "j"}):
        pass

    request, work = exporter.get_finished_spans()
    assert f"{work.context.trace_id:032x}" == BATCH.replace("-", "")
    assert [link.context.trace_id for link in request.links] == [work.context.trace_id]
    assert request.attributes["tweezer.batch_id"] == work.attributes["tweezer.batch_id"] == BATCH


def test_nothing_is_linked_where_nobody_traces():
    link_to_batch(BATCH)
    assert propagation.traceparent.get() is None


async def test_without_the_libraries_the_process_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(StartFailed, match=r"install tweezer\[tracing\]"):
        async with tracing_to("http://127.0.0.1:1", "test"):
            pass
