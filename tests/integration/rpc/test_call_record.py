"""What is told of each call: its request, a line in the log, metrics, a span."""

import asyncio
import logging

import grpc
import pytest
import structlog
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from tweezer.process import request_ids
from tweezer.process.logs import add_request_id
from tweezer.process.telemetry import Telemetry
from tweezer.process.tracing import Tracing
from tweezer.rpc.errors import NotFound

PUBLIC = "/tweezer.v1.DeviceService/ListPublicDevices"
INTERNAL = "/tweezer.internal.v1.ProgramService/GetProgram"


@pytest.fixture
def logs():
    """The log, with the request that a line belongs to; `capture_logs` leaves that out."""
    captured = structlog.testing.LogCapture()
    before = structlog.get_config()
    structlog.configure(
        processors=[add_request_id, captured],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        cache_logger_on_first_use=False,
    )
    yield captured.entries
    structlog.configure(**before)


def seen_by(handlers):
    """Has the handlers note whose request they handle."""
    seen = []

    async def note() -> None:
        seen.append(request_ids.current())

    handlers.public = handlers.internal = note
    return seen


async def refused(peer, metadata=()):
    """Makes a call that is refused, and waits until it is recorded: the caller knows before."""
    with pytest.raises(grpc.aio.AioRpcError):
        await peer.call(metadata=metadata)
    while peer.value("tweezer_grpc_open_calls", method=PUBLIC):  # noqa: ASYNC110 - a metric
        await asyncio.sleep(0)


async def test_the_request_of_a_caller_is_that_of_the_handler(peer):
    seen = seen_by(peer.handlers)
    await peer.call(metadata=[("x-request-id", "abc.1")])
    assert seen == ["abc.1"]


@pytest.mark.parametrize("metadata", [[], [("x-request-id", "a b; drop")]])
async def test_calls_without_a_harmless_identifier_get_one_each(peer, metadata):
    seen = seen_by(peer.handlers)
    await peer.call(metadata=metadata)
    await peer.call(metadata=metadata)
    assert len(set(seen)) == 2
    assert all(request_ids.accept(each) == each for each in seen)


async def test_our_processes_pass_it_on(peer):
    seen = seen_by(peer.handlers)
    inner = peer.call_inside

    async def call_on() -> None:
        seen.append(request_ids.current())
        await inner()

    peer.handlers.public = call_on
    await peer.call(metadata=[("x-request-id", "abc.2")])
    assert seen == ["abc.2", "abc.2"]


async def test_a_failed_call_is_one_line_with_all_that_is_known(peer, logs):
    async def fail() -> None:
        raise NotFound("batch x not found")

    peer.handlers.public = fail
    await refused(peer, [("x-request-id", "abc.3")])

    (entry,) = logs
    assert entry.pop("duration_ms") >= 0
    assert entry == {
        "event": "call failed",
        "log_level": "info",
        "method": PUBLIC,
        "code": "NOT_FOUND",
        "details": "batch x not found",
        "request_id": "abc.3",
    }


async def test_what_is_not_the_callers_fault_is_a_warning(peer, logs):
    async def fail() -> None:
        raise ValueError("secret")

    peer.handlers.public = fail
    await refused(peer)
    unexpected, failed = logs
    assert (unexpected["event"], unexpected["log_level"]) == ("unexpected error", "error")
    assert (failed["code"], failed["log_level"]) == ("INTERNAL", "warning")
    assert unexpected["request_id"] == failed["request_id"]


async def test_a_call_that_succeeds_is_told_to_debuggers_only(peer, logs):
    await peer.call()
    (entry,) = logs
    assert (entry["event"], entry["log_level"], entry["code"]) == ("call ended", "debug", "OK")


async def test_calls_are_counted_and_measured(peer):
    async def fail() -> None:
        raise NotFound("x")

    await peer.call()
    await peer.call_inside()
    peer.handlers.public = fail
    await refused(peer)

    assert peer.value("tweezer_grpc_calls_total", method=PUBLIC, code="OK") == 1
    assert peer.value("tweezer_grpc_calls_total", method=PUBLIC, code="NOT_FOUND") == 1
    assert peer.value("tweezer_grpc_calls_total", method=INTERNAL, code="OK") == 1
    assert peer.value("tweezer_grpc_call_seconds_count", method=PUBLIC) == 2
    assert peer.value("tweezer_grpc_open_calls", method=PUBLIC) == 0


async def test_a_call_that_its_caller_gives_up_is_counted_too(peer, logs):
    begun = asyncio.Event()

    async def wait() -> None:
        begun.set()
        await asyncio.Event().wait()

    peer.handlers.public = wait
    call = asyncio.create_task(peer.call())
    await begun.wait()
    assert peer.value("tweezer_grpc_open_calls", method=PUBLIC) == 1
    call.cancel()
    while not any(entry["method"] == PUBLIC for entry in logs):
        await peer.call_inside()  # a round through the server
    assert ("CANCELLED", "info") in [(entry["code"], entry["log_level"]) for entry in logs]
    assert peer.value("tweezer_grpc_calls_total", method=PUBLIC, code="CANCELLED") == 1
    assert peer.value("tweezer_grpc_open_calls", method=PUBLIC) == 0


async def test_calls_within_a_call_are_in_its_trace(run_peer):
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))

    async def fail() -> None:
        raise ValueError("secret")

    async with run_peer(Telemetry(tracing=Tracing(provider))) as peer:
        peer.handlers.public, peer.handlers.internal = peer.call_inside, fail
        with pytest.raises(grpc.aio.AioRpcError):
            await peer.call(metadata=[("traceparent", f"00-{'a' * 32}-{'b' * 16}-01")])

    inner, outer = exporter.get_finished_spans()
    assert (inner.name, outer.name) == (INTERNAL[1:], PUBLIC[1:])
    assert f"{outer.context.trace_id:032x}" == f"{inner.context.trace_id:032x}" == "a" * 32
    assert (outer.parent.span_id, inner.parent.span_id) == (
        0xBBBBBBBBBBBBBBBB,
        outer.context.span_id,
    )
    assert inner.attributes["rpc.grpc.status_code"] == 13
    assert inner.status.status_code is StatusCode.ERROR
