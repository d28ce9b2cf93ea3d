"""What a process counts and measures."""

from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, Counter, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

log = structlog.get_logger(__name__)

#: Upper ends of the buckets of times within which a call is answered, in seconds.
ANSWER_TIMES: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

#: Media type of the text.
CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4

Refresh = Callable[[], Awaitable[None]]


class Metrics:
    """The metrics of one process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._refreshes: list[Refresh] = []
        self._failed = Counter(
            "tweezer_metrics_refresh_failures",
            "Times that a part of the metrics could not be read and was left as it was.",
            registry=self.registry,
        )

    def on_scrape(self, refresh: Refresh) -> None:
        """Has `refresh` bring up to date what is only looked up when somebody asks."""
        self._refreshes.append(refresh)

    async def text(self) -> bytes:
        """Returns all metrics in the text format of Prometheus."""
        for refresh in self._refreshes:
            try:
                await refresh()
            except Exception as error:
                self._failed.inc()
                log.warning("metrics could not be brought up to date", exc_info=error)
        return generate_latest(self.registry)
