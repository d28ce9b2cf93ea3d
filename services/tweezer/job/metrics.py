"""What the job service counts and measures."""

from collections.abc import Iterable, Sequence
from typing import Final

from prometheus_client import Counter, Gauge, Histogram
from sqlalchemy import Connection

from tweezer.database.database import Database
from tweezer.job.outcomes import HeldJob
from tweezer.job.store import measures
from tweezer.job.store.leases import LeasedBatch
from tweezer.lifecycle import JobEvent
from tweezer.process.metrics import Metrics
from tweezer.v1.batch_pb2 import QueuePriority

_SECONDS: Final = (0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60, 300, 1800, 3600, 6 * 3600, 24 * 3600)


class JobMetrics:
    """Jobs handed out and brought back, and how long both took."""

    def __init__(self, metrics: Metrics) -> None:
        registry = metrics.registry
        self._leases = Counter(
            "tweezer_job_leases",
            "Attempts begun: jobs handed to a worker.",
            ["device"],
            registry=registry,
        )
        self._ends = Counter(
            "tweezer_job_lease_ends",
            "Attempts ended, by what became of the job: COMPLETE and FAIL are final, LOSE and "
            "RELEASE put it back into the queue, EXHAUST gives it up after too many losses.",
            ["device", "event"],
            registry=registry,
        )
        self._expired = Counter(
            "tweezer_job_leases_expired",
            "Attempts that ended because the worker was not heard of.",
            registry=registry,
        )
        self._waiting = Histogram(
            "tweezer_job_wait_seconds",
            "From the creation of a job to its first attempt.",
            ["device"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._running = Histogram(
            "tweezer_job_run_seconds",
            "Length of the attempts that brought a result.",
            ["device"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._recovered = Counter(
            "tweezer_job_recoveries",
            "Things put right that an interruption had left behind, by kind.",
            ["kind"],
            registry=registry,
        )

    def leased(self, batches: Iterable[LeasedBatch], now: int) -> None:
        """Takes note of jobs that were handed out."""
        for batch in batches:
            self._leases.labels(batch.device_type).inc(len(batch.leases))
            for lease in batch.leases:
                if lease.attempt == 1:
                    self._waiting.labels(batch.device_type).observe(_s(now - lease.created_at))

    def ended(self, jobs: Sequence[HeldJob], events: Sequence[JobEvent], now: int) -> None:
        """Takes note of attempts that ended, each by an event."""
        for job, event in zip(jobs, events, strict=True):
            self._ends.labels(job.device_type, event.name).inc()
            if event is JobEvent.COMPLETE and job.start_at is not None:
                self._running.labels(job.device_type).observe(_s(now - job.start_at))

    def expired(self, number: int) -> None:
        """Takes note of leases that ran out."""
        self._expired.inc(number)

    def recovered(self, kind: str, number: int) -> None:
        """Takes note of what was put right."""
        self._recovered.labels(kind).inc(number)


class QueueGauges:
    """How much there is to do, looked up when somebody asks."""

    def __init__(self, metrics: Metrics, database: Database) -> None:
        registry = metrics.registry
        self._database = database
        self._queue = Gauge(
            "tweezer_queue_jobs",
            "Jobs that wait for a worker, by device and priority.",
            ["device", "priority"],
            registry=registry,
        )
        self._leases = Gauge(
            "tweezer_job_leases_held", "Jobs that are with workers.", registry=registry
        )
        self._additions = Gauge(
            "tweezer_job_additions_held",
            "Additions of jobs that BatchService has not released so far.",
            registry=registry,
        )
        self._unreported = Gauge(
            "tweezer_job_batches_unreported",
            "Batches with progress that BatchService has not acknowledged so far.",
            registry=registry,
        )
        metrics.on_scrape(self._look)

    async def _look(self) -> None:
        lengths, leases, additions, unreported = await self._database.scan(_all)
        self._queue.clear()
        for (device, rank), number in lengths.items():
            self._queue.labels(device, _priority(rank)).set(number)
        self._leases.set(leases)
        self._additions.set(additions)
        self._unreported.set(unreported)


def _all(connection: Connection) -> tuple[dict[tuple[str, int], int], int, int, int]:
    return (
        measures.queue_lengths(connection),
        measures.leases_held(connection),
        measures.additions_held(connection),
        measures.batches_unreported(connection),
    )


def _priority(rank: int) -> str:
    """Returns the name of a queue; the numbers of the priorities are their ranks."""
    return QueuePriority.Name(QueuePriority.ValueType(rank)).removeprefix("QUEUE_PRIORITY_")


def _s(microseconds: int) -> float:
    return max(0.0, microseconds / 1_000_000)
