"""What the batch service counts and measures."""

from collections.abc import Mapping

from prometheus_client import Counter, Gauge

from tweezer.batch.store.clean_up import count_unacknowledged
from tweezer.database.database import Database
from tweezer.process.metrics import Metrics


class BatchMetrics:
    """Intents on their way, and what was put right."""

    def __init__(self, metrics: Metrics, database: Database) -> None:
        self._database = database
        self._intents = Gauge(
            "tweezer_batch_intents_unacknowledged",
            "Batches of which JobService has not acknowledged yet what should happen to them.",
            registry=metrics.registry,
        )
        self._recovered = Counter(
            "tweezer_batch_recoveries",
            "Things put right that an interruption had left behind, by kind.",
            ["kind"],
            registry=metrics.registry,
        )
        metrics.on_scrape(self._look)

    def recovered(self, numbers: Mapping[str, int]) -> None:
        """Takes note of what was put right, by kind."""
        for kind, number in numbers.items():
            self._recovered.labels(kind).inc(number)

    async def _look(self) -> None:
        self._intents.set(await self._database.scan(count_unacknowledged))
