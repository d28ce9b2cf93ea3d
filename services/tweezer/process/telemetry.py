"""What a process tells about itself beside its log: metrics, and traces where they are wanted."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from tweezer.process.loop_lag import measure_loop_lag
from tweezer.process.metrics import Metrics
from tweezer.process.settings import ProcessSettings
from tweezer.process.tracing import Tracing, tracing_to


@dataclass(frozen=True, slots=True)
class Telemetry:
    """Passed down to whatever has something to tell."""

    metrics: Metrics = field(default_factory=Metrics)
    tracing: Tracing | None = None


@asynccontextmanager
async def telemetry_of(
    process: str, settings: ProcessSettings, metrics_listen: str | None = None
) -> AsyncIterator[Telemetry]:
    """Gives the telemetry of a process, and serves its metrics if there is an address for that."""
    async with AsyncExitStack() as stack:
        tracing: Tracing | None = None
        if settings.otel_endpoint is not None:
            tracing = await stack.enter_async_context(tracing_to(settings.otel_endpoint, process))
        telemetry = Telemetry(tracing=tracing)
        # Not in a task group, which would wrap the errors of the process into groups.
        lag = asyncio.create_task(measure_loop_lag(telemetry.metrics), name="loop lag")
        stack.callback(lag.cancel)
        if metrics_listen is not None:
            # Only where it is used: the import takes a while.
            from tweezer.process.metrics_server import metrics_served

            await stack.enter_async_context(metrics_served(telemetry.metrics, metrics_listen))
        yield telemetry
