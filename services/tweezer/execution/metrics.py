"""What the execution service counts and measures, and the record of each attempt."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

from prometheus_client import Counter, Gauge
from structlog.contextvars import bound_contextvars

from tweezer.internal.v1.lease_service_pb2 import JobLease, JobOutcome, LeasedBatch
from tweezer.process.telemetry import Telemetry


class AttemptRecord:
    """Keeps record of the jobs that are run, on all engines of this process."""

    def __init__(self, telemetry: Telemetry) -> None:
        registry = telemetry.metrics.registry
        self._tracing = telemetry.tracing
        workers = Gauge(
            "tweezer_execution_workers", "Jobs that can run at the same time.", registry=registry
        )
        self._capacities: list[Callable[[], int]] = []
        workers.set_function(lambda: sum(capacity() for capacity in self._capacities))
        self._busy = Gauge(
            "tweezer_execution_workers_busy", "Jobs that run at present.", registry=registry
        )
        jobs_held = Gauge(
            "tweezer_execution_jobs_held",
            "Jobs that were leased and whose outcome is not acknowledged yet.",
            registry=registry,
        )
        self._helds: list[Callable[[], int]] = []
        jobs_held.set_function(lambda: sum(held() for held in self._helds))
        self._attempts = Counter(
            "tweezer_execution_attempts",
            "Attempts that ended, by outcome: result, failure (the job is wrong), lost (the worker "
            "died), interrupted (the job was cancelled, or this service stops).",
            ["device", "outcome"],
            registry=registry,
        )

    def follow(self, *, capacity: Callable[[], int], held: Callable[[], int]) -> None:
        """Counts the workers and jobs of one more engine."""
        self._capacities.append(capacity)
        self._helds.append(held)

    @contextmanager
    def attempt(self, batch: LeasedBatch, lease: JobLease) -> Iterator["Attempt"]:
        """Records an attempt: all log messages of it name the batch and the job."""
        attempt = Attempt()
        span = (
            nullcontext()
            if self._tracing is None
            else self._tracing.work_for_batch(
                "run job",
                batch.batch_id,
                {
                    "tweezer.job_id": lease.job_id,
                    "tweezer.attempt": lease.attempt,
                    "tweezer.device_type": batch.device_type,
                },
            )
        )
        with bound_contextvars(batch_id=batch.batch_id, job_id=lease.job_id), span as recorded:
            try:
                yield attempt
            finally:
                self._attempts.labels(batch.device_type, attempt.outcome).inc()
                if recorded is not None:
                    recorded.set_attribute("tweezer.outcome", attempt.outcome)

    def begun(self) -> None:
        """Takes note that a worker has begun with a job."""
        self._busy.inc()

    def done(self) -> None:
        """Takes note that a worker is free again."""
        self._busy.dec()


class Attempt:
    """One attempt at a job."""

    def __init__(self) -> None:
        self.outcome = "interrupted"

    def ended(self, outcome: JobOutcome) -> JobOutcome:
        """Takes note of the outcome and returns it."""
        self.outcome = outcome.WhichOneof("outcome") or self.outcome
        return outcome
