"""Hundreds of jobs while every process is killed, frozen and restarted over and over."""

import asyncio
import secrets
from collections.abc import Callable
from pathlib import Path

import pytest
from breaking.books import Books
from breaking.customers import Customers, orders
from breaking.deployment import Deployment
from breaking.plan import SERVER, plan
from breaking.rest import come_to_rest
from breaking.storm import Storm

from tweezer.lifecycle import JobStatus

JOBS = 300
#: More than that are sent, as some may come too late for a batch that has timed out.
SENT = 340
FAULTS = 44
FEWEST_FAULTS = 40

#: Some that never change, and one that nobody has seen.
RUNS = (
    *(("sqlite", seed) for seed in (1, 2, 3, None)),
    *(("postgresql", seed) for seed in (1, None)),
)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("backend", "given"), RUNS, ids=[f"{backend}-{seed or 'random'}" for backend, seed in RUNS]
)
def test_nothing_is_lost_in_a_storm(
    backend: str,
    given: int | None,
    deploy: Callable[..., Deployment],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    seed = secrets.randbits(32) if given is None else given
    with capsys.disabled():
        print(f" seed {seed} ", end="", flush=True)  # noqa: T201 - to repeat what was seen
    deployment = deploy(backend, tmp_path, TWEEZER_OPEN_BATCH_IDLE_S="12")
    deployment.start()
    storm = Storm(deployment, seed)
    accounts = asyncio.run(weather(deployment, storm, seed))

    assert storm.surprises == []
    assert len(storm.done) >= FEWEST_FAULTS
    befallen = {fault.target for fault in storm.done}
    assert befallen >= deployment.services.keys()
    assert (SERVER in befallen) is (deployment.server is not None)
    assert all(service.running for service in deployment.services.values())
    books = come_to_rest(deployment)
    assert deployment.zombies() == []
    check(books, accounts)
    asyncio.run(check_answers(deployment, books, accounts))
    assert set(deployment.stop().values()) == {0}
    assert deployment.remains() == []
    assert Books.read(deployment).problems() == []


async def weather(deployment: Deployment, storm: Storm, seed: int) -> Customers:
    """Sends the work while the storm rages; returns when every batch has ended."""
    names = list(deployment.services)
    faults = plan(seed, FAULTS, names, with_server=deployment.server is not None)
    lasts_s = sum(fault.pause_s for fault in faults)
    async with deployment.api() as api:
        customers = Customers(api, deployment.token)
        async with asyncio.TaskGroup() as group:
            group.create_task(storm.rage(faults))
            work = orders(seed, deployment.projects, SENT, within_s=0.8 * lasts_s)
            group.create_task(customers.send(work))
    assert customers.complaints == []
    return customers


def check(books: Books, customers: Customers) -> None:
    """Compares what was written with what the customers were told."""
    assert books.batches.keys() == customers.accounts.keys()
    assert sum(len(account.runs) for account in customers.accounts.values()) >= JOBS
    for batch_id, account in customers.accounts.items():
        jobs = books.jobs_of(batch_id)
        assert [job["runs"] for job in jobs] == account.runs
        assert books.batches[batch_id]["status"] in account.statuses
        expected = {JobStatus.DONE}
        if books.batches[batch_id]["cancelled"]:
            expected |= {JobStatus.CANCELED}
        assert {JobStatus(job["status"]) for job in jobs} <= expected


async def check_answers(deployment: Deployment, books: Books, told: Customers) -> None:
    """Compares what the API says now with what was written, and with what it said before."""
    async with deployment.api() as api:
        customers = Customers(api, deployment.token)
        for batch_id, account in told.accounts.items():
            batch, jobs = await customers.batch(batch_id), await customers.jobs(batch_id)
            written = books.jobs_of(batch_id)
            assert batch["status"] == books.batches[batch_id]["status"]
            assert batch["jobs_count"] == len(written) == len(jobs)
            assert [job["status"] for job in jobs.values()] == [job["status"] for job in written]
            assert jobs == account.jobs, "a job changed after its batch had ended"
            for job in written:
                if job["status"] == JobStatus.DONE:
                    assert await customers.shots(job["id"]) == job["runs"]
