"""Filters, orders and pages of the public client over many jobs, none of which is emulated."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from pasqal_cloud.batch import Batch
from pasqal_cloud.job import Job
from pasqal_cloud.pasqal_cloud_client import PasqalCloudClient
from pasqal_cloud.utils.constants import BatchStatus, JobStatus, QueuePriority
from pasqal_cloud.utils.filters import (
    BatchFilters,
    CancelJobFilters,
    JobFilters,
    PaginationParams,
    RebatchFilters,
)
from pulser import Pulse, Register, Sequence
from pulser.devices import MockDevice

COUNT = 310
CANCELED = 30


def pair() -> str:
    """Two atoms driven with a variable amplitude."""
    sequence = Sequence(Register.from_coordinates([(0, 0), (6, 0)], prefix="q"), MockDevice)
    omega = sequence.declare_variable("omega", dtype=float)
    sequence.declare_channel("rydberg", "rydberg_global")
    sequence.add(Pulse.ConstantPulse(400, omega, 0.0, 0.0), "rydberg")
    sequence.measure("ground-rydberg")
    return sequence.to_abstract_repr()


def new_jobs(runs: range) -> list[dict[str, Any]]:
    # Several jobs have the same number of runs, so that an order by it has ties.
    return [{"runs": 1 + n // 2, "variables": {"omega": 1.0}} for n in runs]


@dataclass
class Crowd:
    """A batch, what the jobs of it should be, and a tag that no other batch has."""

    batch: Batch
    jobs: list[Job]
    tag: str

    def found(self, jobs: list[Job]) -> list[int]:
        """Returns the places in the batch of these jobs, in the order of their creation."""
        places = {job.id: place for place, job in enumerate(self.jobs)}
        return sorted(places[job.id] for job in jobs)


@pytest.fixture(scope="module")
def client(stack: Any) -> PasqalCloudClient:
    """The public client, logged in once for all of these tests."""
    return PasqalCloudClient(**stack.credentials())


@pytest.fixture(scope="module")
def paused_batch(
    client: PasqalCloudClient, stack: Any, run_command: Callable[..., Any]
) -> Callable[..., Any]:
    """Makes open batches whose jobs do not run."""

    def make(**more: Any) -> Any:
        batch = client.create_batch(pair(), [], device_type="EMU_FREE", open=True, **more)
        pause = ("tweezer", "batches", "pause", batch.id, "--data-dir", str(stack.data_dir))
        assert run_command(*pause).returncode == 0
        return batch

    return make


@pytest.fixture(scope="module")
def crowd(client: PasqalCloudClient, paused_batch: Callable[..., Any]) -> Iterator[Crowd]:
    """A paused batch of many jobs, the first of which are cancelled."""
    tag = f"crowd-{uuid4()}"
    batch = paused_batch(tags=[tag])
    client.add_jobs(batch.id, new_jobs(range(200)))
    client.add_jobs(batch.id, new_jobs(range(200, COUNT)))
    jobs = client.get_batch(batch.id).ordered_jobs
    assert len(jobs) == COUNT
    client.cancel_jobs(batch.id, CancelJobFilters(id=[job.id for job in jobs[:CANCELED]]))
    yield Crowd(batch, jobs, tag)
    client.cancel_batch(batch.id)


def pages(fetch: Callable[[PaginationParams], Any], limit: int) -> list[Any]:
    """Returns what all pages hold, each of which must know the whole."""
    found: list[Any] = []
    while True:
        page = fetch(PaginationParams(offset=len(found), limit=limit))
        found += page.results
        assert page.offset + len(page.results) == len(found) <= page.total
        if not page.results:
            assert len(found) == page.total
            return found


@pytest.mark.parametrize("limit", [100, 37])
def test_pages_hold_each_job_once_newest_first(
    crowd: Crowd, client: PasqalCloudClient, limit: int
) -> None:
    mine = JobFilters(batch_id=crowd.batch.id)
    found = pages(lambda page: client.get_jobs(mine, page), limit)
    assert [job.id for job in found] == [job.id for job in reversed(crowd.jobs)]
    assert [job.created_at for job in crowd.jobs] == sorted(job.created_at for job in crowd.jobs)


JobCase = tuple[Callable[[Crowd], dict[str, Any]], range | list[int]]
JOB_CASES: dict[str, JobCase] = {
    "one id": (lambda c: {"id": c.jobs[7].id}, [7]),
    "several ids": (lambda c: {"id": [c.jobs[7].id, c.jobs[300].id, str(uuid4())]}, [7, 300]),
    "project": (lambda c: {"project_id": c.batch.project_id}, range(COUNT)),
    "another project": (lambda c: {"project_id": str(uuid4())}, []),
    "user": (lambda c: {"user_id": c.batch.user_id}, range(COUNT)),
    "users": (lambda c: {"user_id": ["nobody", c.batch.user_id]}, range(COUNT)),
    "another user": (lambda c: {"user_id": "nobody"}, []),
    "status": (lambda c: {"status": JobStatus.CANCELED}, range(CANCELED)),
    "statuses": (lambda c: {"status": [JobStatus.CANCELED, JobStatus.PENDING]}, range(COUNT)),
    "a status that none has": (lambda c: {"status": JobStatus.DONE}, []),
    "fewest runs": (lambda c: {"min_runs": 151}, range(300, COUNT)),
    "most runs": (lambda c: {"max_runs": 4}, range(8)),
    "between": (lambda c: {"min_runs": 10, "max_runs": 12}, range(18, 24)),
    "errors": (lambda c: {"errors": True}, []),
    "no errors": (lambda c: {"errors": False}, range(COUNT)),
    "all of them": (
        lambda c: {
            "project_id": c.batch.project_id,
            "status": [JobStatus.PENDING, JobStatus.DONE],
            "errors": False,
            "min_runs": 10,
        },
        range(CANCELED, COUNT),
    ),
}


@pytest.mark.parametrize("case", JOB_CASES)
def test_jobs_are_filtered(crowd: Crowd, client: PasqalCloudClient, case: str) -> None:
    filters, expected = JOB_CASES[case]
    chosen = JobFilters(batch_id=[crowd.batch.id], **filters(crowd))
    assert crowd.found(pages(lambda page: client.get_jobs(chosen, page), 100)) == list(expected)


ORDERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "created_at": lambda job: job["created_at"],
    "updated_at": lambda job: job["updated_at"],
    "creation_order": lambda job: job["creation_order"],
    "runs": lambda job: job["runs"],
    "status": lambda job: job["status"],
}


@pytest.mark.parametrize("direction", ["ASC", "DESC"])
@pytest.mark.parametrize("column", ORDERS)
def test_jobs_come_in_any_order_and_ties_do_not_move(
    crowd: Crowd, client: PasqalCloudClient, stack: Any, column: str, direction: str
) -> None:
    query = {
        "batch_id": crowd.batch.id,
        "order_by": column,
        "order_by_direction": direction,
        "limit": 70,
    }
    found: list[dict[str, Any]] = []
    with stack.api(client.user_token()) as api:
        while len(found) < COUNT:
            part = {**query, "offset": len(found)}
            answer = api.get("/api/v2/jobs", params=part).raise_for_status()
            rows = answer.json()["data"]
            shown = f"{len(found) + 1}-{len(found) + len(rows)}/{COUNT}"
            assert answer.headers["Content-Range"] == shown
            found += rows
    assert len({job["id"] for job in found}) == COUNT
    place = {job.id: n for n, job in enumerate(crowd.jobs)}
    by_age = sorted(found, key=lambda job: place[job["id"]], reverse=direction == "DESC")
    assert found == sorted(by_age, key=ORDERS[column], reverse=direction == "DESC")


BATCH_CASES: dict[str, tuple[Callable[[Crowd], dict[str, Any]], bool]] = {
    "id": (lambda c: {"id": c.batch.id}, True),
    "ids": (lambda c: {"id": [str(uuid4()), c.batch.id]}, True),
    "another id": (lambda c: {"id": str(uuid4())}, False),
    "project": (lambda c: {"project_id": c.batch.project_id}, True),
    "another project": (lambda c: {"project_id": str(uuid4())}, False),
    "user": (lambda c: {"user_id": [c.batch.user_id, "nobody"]}, True),
    "another user": (lambda c: {"user_id": "nobody"}, False),
    "device": (lambda c: {"device_type": ["EMU_FREE", "FRESNEL"]}, True),
    "another device": (lambda c: {"device_type": "FRESNEL"}, False),
    "open": (lambda c: {"open": True}, True),
    "closed": (lambda c: {"open": False}, False),
    "priority": (lambda c: {"queue_priority": list(QueuePriority)}, True),
    "status": (lambda c: {"status": [BatchStatus.DONE, BatchStatus.ERROR]}, False),
}


@pytest.mark.parametrize("case", BATCH_CASES)
def test_batches_are_filtered(crowd: Crowd, client: PasqalCloudClient, case: str) -> None:
    filters, expected = BATCH_CASES[case]
    page = client.get_batches(BatchFilters(tag=crowd.tag, **filters(crowd)))
    assert [batch.id for batch in page.results] == [crowd.batch.id] * expected
    assert page.total == expected


def test_batches_come_in_pages_newest_first(client: PasqalCloudClient) -> None:
    tag = f"pages-{uuid4()}"
    made = [
        client.create_batch(pair(), [], device_type="EMU_FREE", open=True, tags=[tag]).id
        for _ in range(12)
    ]
    found = pages(lambda page: client.get_batches(BatchFilters(tag=tag), page), 5)
    assert [batch.id for batch in found] == made[::-1]
    client.cancel_batches(made)
    gone = BatchFilters(tag=tag, status=BatchStatus.CANCELED, open=False)
    assert client.get_batches(gone).total == len(made)


REPEATED: dict[str, JobCase] = {
    "all": (lambda c: {}, range(10)),
    "id": (lambda c: {"id": c.jobs[3].id}, [3]),
    "status": (lambda c: {"status": [JobStatus.CANCELED]}, range(10)),
    "runs": (lambda c: {"min_runs": 2, "max_runs": 3}, range(2, 6)),
}


@pytest.fixture(scope="module")
def ended(client: PasqalCloudClient, paused_batch: Callable[..., Any]) -> Crowd:
    """A batch that was cancelled before any of its jobs ran."""
    batch = paused_batch()
    client.add_jobs(batch.id, new_jobs(range(10)))
    jobs = client.get_batch(batch.id).ordered_jobs
    client.cancel_batch(batch.id)
    return Crowd(batch, jobs, "")


@pytest.mark.parametrize("case", REPEATED)
def test_a_batch_is_repeated_in_part(ended: Crowd, client: PasqalCloudClient, case: str) -> None:
    filters, expected = REPEATED[case]
    again = client.rebatch(ended.batch.id, RebatchFilters(**filters(ended)))
    places = {job.id: place for place, job in enumerate(ended.jobs)}
    assert again.parent_id == ended.batch.id
    assert [places[job.parent_id] for job in again.ordered_jobs] == list(expected)
    client.cancel_batch(again.id)


def test_dates_are_those_of_the_first_start_and_the_last_end(client: PasqalCloudClient) -> None:
    batch = client.create_batch(pair(), new_jobs(range(4)), device_type="EMU_FREE", wait=True)
    jobs = batch.ordered_jobs
    moments = [
        (datetime.fromisoformat(job.start_timestamp), datetime.fromisoformat(job.end_timestamp))
        for job in jobs
    ]
    for start, end in moments:
        started = {job.id for job, moment in zip(jobs, moments, strict=True) if moment[0] >= start}
        ended = {job.id for job, moment in zip(jobs, moments, strict=True) if moment[1] <= end}
        for dates, expected in (
            ({"start_date": start}, started),
            ({"end_date": end}, ended),
            ({"start_date": start, "end_date": end}, started & ended),
        ):
            found = client.get_jobs(JobFilters(batch_id=batch.id, **dates))
            assert {job.id for job in found.results} == expected
            again = client.rebatch(batch.id, RebatchFilters(**dates))
            assert {job.parent_id for job in again.ordered_jobs} == expected
            client.cancel_batches([again.id])
    first, last = min(start for start, _ in moments), max(end for _, end in moments)
    moment = timedelta(microseconds=1)
    for dates, count in (
        ({"start_date": first, "end_date": last}, 1),
        ({"start_date": first + moment}, 0),
        ({"end_date": last - moment}, 0),
    ):
        assert client.get_batches(BatchFilters(id=batch.id, **dates)).total == count
