"""What the job service counts, and how it looks up how much there is to do."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tweezer.job.leasing import LeaseRequest, Leasing
from tweezer.job.metrics import JobMetrics, QueueGauges
from tweezer.job.outcomes import Outcome
from tweezer.job.results import ResultStore
from tweezer.job.signals import Signals
from tweezer.job.store.endings import Ending
from tweezer.process.metrics import Metrics

SECOND = 1_000_000
FREE = "EMU_FREE"


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
async def leasing(
    tmp_path: Path, tables: Any, database: Any, clock: Clock, metrics: Metrics
) -> Leasing:
    QueueGauges(metrics, database)
    results = ResultStore.in_folder(tmp_path / "results")
    return Leasing(database, results, Signals(clock), clock, 2, JobMetrics(metrics))


@pytest.fixture
def value(metrics: Metrics) -> Callable[..., float | None]:
    def value(name: str, **labels: str) -> float | None:
        return metrics.registry.get_sample_value(f"tweezer_{name}", labels)

    return value


async def take(leasing: Leasing, jobs: int = 1) -> list[str]:
    batches = await leasing.lease(LeaseRequest("w", [FREE], jobs, 10 * SECOND), 0)
    return [lease.token for batch in batches for lease in batch.leases]


async def test_times_of_waiting_and_of_running(leasing, tables, clock, value):
    tables.add(1, now=1 * SECOND)
    clock.now = 4 * SECOND
    (token,) = await take(leasing)
    clock.now = 9 * SECOND
    await leasing.finish([Ending(token, Outcome.RESULT)], {token: b"{}"})

    assert value("job_wait_seconds_sum", device=FREE) == 3
    assert value("job_run_seconds_sum", device=FREE) == 5
    assert value("job_leases_total", device=FREE) == 1
    assert value("job_lease_ends_total", device=FREE, event="COMPLETE") == 1


async def test_every_end_of_an_attempt_is_counted_by_what_became_of_the_job(
    leasing, tables, clock, value
):
    tables.add(3)
    lost, released, failed = await take(leasing, 3)
    await leasing.finish(
        [
            Ending(lost, Outcome.LOST, "it crashed"),
            Ending(released, Outcome.RELEASED),
            Ending(failed, Outcome.FAILURE, "it is wrong"),
        ],
        {},
    )
    again = await take(leasing, 2)
    assert len(again) == 2
    clock.now = 11 * SECOND  # after the leases
    await leasing.expire()

    assert value("job_leases_total", device=FREE) == 5
    ends = {
        event: value("job_lease_ends_total", device=FREE, event=event)
        for event in ("LOSE", "RELEASE", "FAIL", "EXHAUST")
    }
    # The one that was given back has an attempt left, the other one has not.
    assert ends == {"LOSE": 2, "RELEASE": 1, "FAIL": 1, "EXHAUST": 1}
    assert value("job_leases_expired_total") == 2
    assert value("job_wait_seconds_count", device=FREE) == 4  # the given back one waits anew


async def test_the_queue_is_counted_by_device_and_priority(leasing, tables, metrics, value):
    tables.add(3)
    tables.add(2, queue_rank=1)
    tables.add(1, device_type="FRESNEL", exclusive=True)
    held = tables.enqueue(tables.addition(4))  # not released: it does not wait for a worker
    await take(leasing, 1)

    await metrics.text()
    assert value("queue_jobs", device=FREE, priority="CRITICAL") == 1
    assert value("queue_jobs", device=FREE, priority="MEDIUM") == 3
    assert value("queue_jobs", device="FRESNEL", priority="MEDIUM") == 1
    assert value("job_leases_held") == 1
    assert value("job_additions_held") == 1
    assert value("job_batches_unreported") == 1  # of the one that began to run

    tables.intend(held.batch.id, 1, cancelled=True)
    await take(leasing, 5)
    await metrics.text()
    assert value("queue_jobs", device=FREE, priority="MEDIUM") is None
    assert value("job_leases_held") == 5
