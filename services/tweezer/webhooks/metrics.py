"""What became of messages, counted."""

from typing import Literal

from prometheus_client import Counter, Gauge

from tweezer.database.database import Database
from tweezer.process.metrics import Metrics
from tweezer.webhooks.store import Deliveries


class WebhookMetrics:
    """Attempts to deliver, and messages that wait for one; the latter looked up on request."""

    def __init__(self, metrics: Metrics, database: Database, deliveries: Deliveries) -> None:
        self._database, self._deliveries = database, deliveries
        self._attempts = Counter(
            "tweezer_webhook_attempts",
            "Attempts to deliver a message, by outcome: it was delivered, is tried again later "
            "(postponed), or is given up (failed).",
            ["outcome"],
            registry=metrics.registry,
        )
        self._waiting = Gauge(
            "tweezer_webhook_messages_waiting",
            "Messages that are to be delivered, now or later.",
            registry=metrics.registry,
        )
        metrics.on_scrape(self._look)

    def attempted(self, outcome: Literal["delivered", "postponed", "failed"]) -> None:
        """Takes note of an attempt."""
        self._attempts.labels(outcome).inc()

    async def _look(self) -> None:
        self._waiting.set(await self._database.scan(self._deliveries.count_waiting))
