"""The processes together: started in any order, and one request followed through all of them."""

import asyncio
from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from prometheus_client.parser import text_string_to_metric_families

pytestmark = pytest.mark.slow

REQUEST_ID = "followed.through-all_1"


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Stands for a collector of OpenTelemetry."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, Any]] = []

    async def Export(self, request: Any, context: Any) -> Any:
        for resource in request.resource_spans:
            (service,) = (
                attribute.value.string_value
                for attribute in resource.resource.attributes
                if attribute.key == "service.name"
            )
            for scope in resource.scope_spans:
                self.spans += [(service, span) for span in scope.spans]
        return trace_service_pb2.ExportTraceServiceResponse()

    def named(self, service: str, name: str) -> Any:
        (span,) = (s for by, s in self.spans if (by, s.name) == (f"tweezer-{service}", name))
        return span


@pytest.fixture
async def collector() -> Any:
    collector = Collector()
    server = grpc.aio.server()
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)
    collector.address = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    yield collector
    await server.stop(None)


async def test_they_start_in_any_order_and_wait_for_each_other(processes):
    stack = processes()
    # Each waits for the one before it to serve, and thus runs for a while without the others.
    for name in ("execution", "job", "batch", "gateway"):
        stack.start(name)
        await stack.ready(name)
    async with stack.client() as client:
        answer = await client.post("/api/v1/batches", json=stack.batch())
        batch_id = answer.raise_for_status().json()["data"]["id"]
        assert await stack.finish(client, batch_id) == "DONE"


async def test_one_request_is_followed_through_all_of_them(processes, collector):
    stack = processes(TWEEZER_OTEL_ENDPOINT=collector.address)
    await stack.start_all()
    async with stack.client() as client:
        answer = await client.post(
            "/api/v1/batches", json=stack.batch(), headers={"X-Request-ID": REQUEST_ID}
        )
        batch_id = answer.raise_for_status().json()["data"]["id"]
        assert await stack.finish(client, batch_id) == "DONE"
        pages = await read_metrics(client, stack)
    # What is not sent or written yet comes when they stop. In a thread, for the collector answers.
    await asyncio.to_thread(stack.stop)

    check_logs(stack, batch_id)
    check_metrics(pages)
    check_traces(collector, batch_id)


async def read_metrics(client: httpx.AsyncClient, stack: Any) -> dict[str, dict[str, Any]]:
    urls = {name: f"http://127.0.0.1:{port}/metrics" for name, port in stack.metrics_ports.items()}
    urls["gateway"] = "/metrics"
    return {name: samples((await client.get(url)).text) for name, url in urls.items()}


def samples(text: str) -> dict[str, Any]:
    """Returns the sum over all labels of each metric."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, 0) + sample.value
    return found


def check_logs(stack: Any, batch_id: str) -> None:
    def events(name: str) -> Iterator[str]:
        for entry in stack.log(name):
            assert entry["process"] == name
            if entry.get("request_id") == REQUEST_ID:
                yield entry["event"]

    assert {"request ended"} <= set(events("gateway"))
    assert {"batch created", "call ended"} <= set(events("batch"))
    assert {"jobs taken in", "call ended"} <= set(events("job"))
    of_batch = [entry for entry in stack.log("job") if entry.get("batch_id") == batch_id]
    leased = {entry["job_id"] for entry in of_batch if entry["event"] == "job leased"}
    ended = {entry["job_id"] for entry in of_batch if entry["event"] == "lease ended"}
    assert leased == ended != set()


def check_metrics(pages: dict[str, dict[str, Any]]) -> None:
    for name, page in pages.items():
        assert page["tweezer_event_loop_lag_seconds_count"] > 0, name
        assert page["process_resident_memory_bytes"] > 0
        assert name == "gateway" or "tweezer_grpc_calls_total" in page
    assert pages["gateway"]["tweezer_http_requests_total"] > 0
    assert pages["batch"]["tweezer_batch_intents_unacknowledged"] == 0
    job, execution = pages["job"], pages["execution"]
    assert job["tweezer_job_leases_total"] == job["tweezer_job_lease_ends_total"] > 0
    assert job["tweezer_job_wait_seconds_count"] == job["tweezer_job_run_seconds_count"] > 0
    assert job["tweezer_job_leases_held"] == 0
    assert job["tweezer_job_run_seconds_sum"] > 0
    assert execution["tweezer_execution_attempts_total"] == job["tweezer_job_leases_total"]
    assert execution["tweezer_execution_workers"] == 1
    assert execution["tweezer_execution_workers_busy"] == 0


def check_traces(collector: Collector, batch_id: str) -> None:
    http = collector.named("gateway", "POST /api/v1/batches")
    create = collector.named("batch", "tweezer.v1.BatchService/CreateBatch")
    enqueue = collector.named("job", "tweezer.internal.v1.QueueService/EnqueueJobs")
    assert http.trace_id == create.trace_id == enqueue.trace_id
    assert (create.parent_span_id, enqueue.parent_span_id) == (http.span_id, create.span_id)
    runs = [span for service, span in collector.spans if span.name == "run job"]
    assert runs
    # The trace of the batch has the batch's identifier, and the request that made it points there.
    assert {span.trace_id.hex() for span in runs} == {batch_id.replace("-", "")}
    assert [link.trace_id for link in create.links] == [runs[0].trace_id]
