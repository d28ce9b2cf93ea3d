"""The metrics of a process."""

import asyncio

from prometheus_client import Counter, Gauge
from structlog.testing import capture_logs

from tweezer.process.loop_lag import measure_loop_lag
from tweezer.process.metrics import Metrics


async def test_every_process_has_a_registry_of_its_own():
    one, other = Metrics(), Metrics()
    Counter("things", "Things.", registry=one.registry).inc()

    assert b"things_total 1.0" in await one.text()
    assert b"things_total" not in await other.text()


async def test_what_is_looked_up_is_looked_up_at_each_scrape():
    metrics = Metrics()
    gauge = Gauge("length", "Length.", registry=metrics.registry)
    lengths = iter([3, 5])

    async def look() -> None:
        gauge.set(next(lengths))

    metrics.on_scrape(look)
    assert b"length 3.0" in await metrics.text()
    assert b"length 5.0" in await metrics.text()


async def test_what_cannot_be_looked_up_hides_nothing_else():
    metrics = Metrics()
    after = Gauge("after", "Looked up after it.", registry=metrics.registry)

    async def fail() -> None:
        raise OSError("no database")

    async def look() -> None:
        after.set(1)

    metrics.on_scrape(fail)
    metrics.on_scrape(look)
    with capture_logs() as logs:
        text = await metrics.text()

    assert b"after 1.0" in text
    assert b"tweezer_metrics_refresh_failures_total 1.0" in text
    assert [entry["log_level"] for entry in logs] == ["warning"]


async def test_the_lag_of_the_event_loop_is_measured():
    metrics = Metrics()
    measuring = asyncio.create_task(measure_loop_lag(metrics))
    # Longer than it takes to the first measurement.
    await asyncio.wait([measuring], timeout=1)
    measuring.cancel()
    assert metrics.registry.get_sample_value("tweezer_event_loop_lag_seconds_count") > 0
