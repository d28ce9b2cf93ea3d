"""How late the event loop is: what is slow here holds up everything in the process."""

import asyncio
from typing import Final

from prometheus_client import Histogram

from tweezer.process.metrics import Metrics

#: Time between two measurements, in seconds.
_INTERVAL_S: Final = 0.25

_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)


async def measure_loop_lag(metrics: Metrics) -> None:
    """Measures for ever how much later than asked the loop wakes a task."""
    lag = Histogram(
        "tweezer_event_loop_lag_seconds",
        "How much later than asked the event loop woke a task, measured four times a second.",
        buckets=_BUCKETS,
        registry=metrics.registry,
    )
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + _INTERVAL_S
        await asyncio.sleep(_INTERVAL_S)
        lag.observe(max(0.0, loop.time() - due))
