"""The page of the metrics, over HTTP."""

import socket

import httpx
import pytest
from prometheus_client import Counter
from prometheus_client.parser import text_string_to_metric_families

from tweezer.process.metrics import Metrics
from tweezer.process.metrics_server import metrics_served
from tweezer.process.run import StartFailed
from tweezer.process.settings import ProcessSettings
from tweezer.process.telemetry import telemetry_of


async def test_the_page_has_the_metrics_of_the_process():
    async with (
        telemetry_of("test", ProcessSettings()) as telemetry,
        metrics_served(telemetry.metrics, "127.0.0.1:0") as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
    ):
        Counter("things", "Things.", registry=telemetry.metrics.registry).inc(3)
        response = await client.get("/metrics")
        head = await client.head("/metrics")

    families = {f.name: f for f in text_string_to_metric_families(response.text)}
    assert response.headers["content-type"].startswith("text/plain")
    assert families["things"].samples[0].value == 3
    assert {"process_resident_memory_bytes", "tweezer_event_loop_lag_seconds"} <= families.keys()
    assert (head.status_code, head.content) == (200, b"")


@pytest.mark.parametrize(("method", "path"), [("GET", "/"), ("GET", "/x"), ("POST", "/metrics")])
async def test_there_is_no_other_page(method, path):
    async with (
        metrics_served(Metrics(), "127.0.0.1:0") as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
    ):
        assert (await client.request(method, path)).status_code == 404


@pytest.mark.parametrize("listen", ["nonsense", "127.0.0.1:port", "127.0.0.1:99999"])
async def test_an_address_that_is_none_is_said_plainly(listen):
    with pytest.raises(StartFailed, match="cannot serve metrics on"):
        async with metrics_served(Metrics(), listen):
            pass


async def test_a_port_that_is_taken_is_said_plainly():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartFailed, match=f"cannot serve metrics on 127.0.0.1:{port}"):
            async with metrics_served(Metrics(), f"127.0.0.1:{port}"):
                pass
