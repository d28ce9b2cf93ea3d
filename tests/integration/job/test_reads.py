"""What clients see: their projects' jobs, filtered, ordered and paged."""

import random
import uuid
from collections.abc import Sequence
from itertools import product
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import text

from tweezer.internal.v1 import lease_service_pb2 as lease_pb
from tweezer.internal.v1 import queue_service_pb2 as queue_pb
from tweezer.internal.v1.lease_service_pb2_grpc import LeaseServiceStub
from tweezer.internal.v1.queue_service_pb2_grpc import QueueServiceStub
from tweezer.job.paging import ORDERS
from tweezer.v1 import job_pb2, paging_pb2
from tweezer.v1 import job_service_pb2 as pb

PROJECT = "11111111-1111-4111-8111-111111111111"
OTHER = "22222222-2222-4222-8222-222222222222"
ASC, DESC = paging_pb2.SORT_DIRECTION_ASC, paging_pb2.SORT_DIRECTION_DESC
S = job_pb2.JobStatus


async def listed(process, credentials, page: Any = None, **wanted: Any) -> pb.ListJobsResponse:
    request = pb.ListJobsRequest(filter=job_pb2.JobFilter(**wanted), page=page)
    return await process.jobs.ListJobs(request, metadata=credentials)


async def refusal(call) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    return refused.value


# --- one job --------------------------------------------------------------------------------


async def test_a_job_is_shown_in_full(process, member, batch_side) -> None:
    parent = str(uuid.uuid4())
    job = queue_pb.QueuedJob(
        id=str(uuid.uuid4()),
        creation_order=0,
        runs=50,
        variables_json='{"omega": 5}',
        parent_id=parent,
    )
    added = await process.add([job], program_hash="h", origin=job_pb2.JOB_ORIGIN_OVH)
    batch_side.sequences["h", '{"omega": 5}'] = "built"
    response = await process.jobs.GetJob(pb.GetJobRequest(job_id=job.id), metadata=member)
    assert response.job == job_pb2.Job(
        id=job.id,
        parent_id=parent,
        status=S.JOB_STATUS_PENDING,
        runs=50,
        batch_id=added.batch.id,
        project_id=PROJECT,
        user_id="user-1",
        create_time=Timestamp(seconds=1_700_000_000),
        update_time=Timestamp(seconds=1_700_000_000),
        variables_json='{"omega": 5}',
        origin=job_pb2.JOB_ORIGIN_OVH,
        sequence="built",
    )


@pytest.mark.parametrize(
    ("batch", "job", "sequence"),
    [
        ({"program_hash": "plain"}, {}, "plain text"),
        ({"program_hash": "plain"}, {"program_hash": "own"}, "own text"),
        ({"program_hash": None}, {"program_hash": "own"}, "own text"),
        ({"program_hash": "open"}, {"variables_json": '{"a": 1}'}, "with a"),
        ({"program_hash": "open"}, {}, None),
        ({"program_hash": "missing"}, {}, None),
        ({"program_hash": None}, {}, None),
    ],
)
async def test_the_sequence_is_the_jobs_own_or_the_batchs_built(
    process, member, batch_side, batch, job, sequence
) -> None:
    batch_side.sequences |= {
        ("plain", None): "plain text",
        ("own", None): "own text",
        ("open", '{"a": 1}'): "with a",
    }
    queued = queue_pb.QueuedJob(id=str(uuid.uuid4()), creation_order=0, **job)
    await process.add([queued], **batch)
    response = await process.jobs.GetJob(pb.GetJobRequest(job_id=queued.id), metadata=member)
    assert response.job.HasField("sequence") is (sequence is not None)
    assert response.job.sequence == (sequence or "")


async def test_a_batch_service_that_is_away_is_told(process, member, batch_server) -> None:
    added = await process.add(1)
    await batch_server.server.stop(None)
    error = await refusal(
        process.jobs.GetJob(pb.GetJobRequest(job_id=added.jobs[0].id), metadata=member)
    )
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    status = await process.jobs.GetJobStatus(
        pb.GetJobStatusRequest(job_id=added.jobs[0].id), metadata=member
    )
    assert status.status == S.JOB_STATUS_PENDING


async def test_the_status_follows_the_job(process, member) -> None:
    added = await process.add(1)
    request = pb.GetJobStatusRequest(job_id=added.jobs[0].id.upper())

    async def status() -> int:
        return (await process.jobs.GetJobStatus(request, metadata=member)).status

    assert await status() == S.JOB_STATUS_PENDING
    (lease,) = await process.lease()
    assert await status() == S.JOB_STATUS_RUNNING
    await process.finish(lease.token, result=b"{}")
    assert await status() == S.JOB_STATUS_DONE


async def test_a_stored_job_is_seen_before_it_is_released(process, member) -> None:
    """A client that was told about a batch sees all its jobs, wherever the intent is."""
    added = await process.enqueue(2)
    response = await listed(process, member, batch_ids=[added.batch.id])
    assert response.total_size == 2


CALLS = ["GetJob", "GetJobStatus", "GetResultLink", "GetResult"]


def call(process, name: str, job_id: str, credentials):
    request = getattr(pb, f"{name}Request")(job_id=job_id)
    answer = getattr(process.jobs, name)(request, metadata=credentials)
    return answer.read() if name == "GetResult" else answer


@pytest.mark.parametrize("name", CALLS)
async def test_unknown_and_foreign_jobs_read_the_same(process, member, issuer, name: str) -> None:
    added = await process.add(1)
    foreign, unknown = added.jobs[0].id, str(uuid.uuid4())
    stranger = issuer.credentials(OTHER)
    for job_id, credentials in ((foreign, stranger), (unknown, member)):
        error = await refusal(call(process, name, job_id, credentials))
        assert error.code() is grpc.StatusCode.NOT_FOUND
        assert error.details() == f"job {job_id} not found"


@pytest.mark.parametrize("name", CALLS)
async def test_what_is_no_identifier_is_invalid(process, member, name: str) -> None:
    error = await refusal(call(process, name, "x", member))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error.details().startswith("job_id: ")


@pytest.mark.parametrize("name", CALLS)
async def test_a_token_is_needed(process, name: str) -> None:
    error = await refusal(call(process, name, str(uuid.uuid4()), None))
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_internal_calls_do_not_exist_for_users(process, member) -> None:
    leases, queue = LeaseServiceStub(process.users), QueueServiceStub(process.users)
    for work in (
        leases.LeaseJobs(lease_pb.LeaseJobsRequest(), metadata=member),
        leases.FinishJobs(lease_pb.FinishJobsRequest(), metadata=member),
        queue.EnqueueJobs(queue_pb.EnqueueJobsRequest(), metadata=member),
        queue.ApplyIntents(queue_pb.ApplyIntentsRequest(), metadata=member),
    ):
        assert (await refusal(work)).code() is grpc.StatusCode.NOT_FOUND


# --- lists ----------------------------------------------------------------------------------


async def test_lists_are_newest_first_and_paged(process, member) -> None:
    added = await process.add(250)
    ids = [job.id for job in reversed(added.jobs)]
    seen: list[str] = []
    for skip in (0, 100, 200):
        response = await listed(process, member, paging_pb2.Page(skip=skip))
        assert response.total_size == 250
        seen += [job.id for job in response.jobs]
    assert seen == ids


@pytest.mark.parametrize(
    ("page", "total", "number"),
    [
        ({"size": 3}, 5, 3),
        ({"size": 5}, 5, 5),
        ({"size": 3, "skip": 3}, 5, 2),
        ({"size": 3, "skip": 5}, 5, 0),
        ({"size": 3, "skip": 2_000_000_000}, 5, 0),
        ({}, 5, 5),
    ],
)
async def test_the_total_is_that_of_all_pages(process, member, page, total, number) -> None:
    await process.add(5)
    response = await listed(process, member, paging_pb2.Page(**page))
    assert (response.total_size, len(response.jobs)) == (total, number)


async def test_a_batch_without_jobs_is_an_empty_list(process, member) -> None:
    response = await listed(process, member, batch_ids=[str(uuid.uuid4())])
    assert (response.total_size, len(response.jobs)) == (0, 0)


async def test_jobs_of_a_batch_come_in_creation_order(process, member) -> None:
    await process.add(3)
    added = await process.add(7)
    page = paging_pb2.Page(order_by="creation_order", direction=ASC, size=5, skip=1)
    response = await listed(process, member, page, batch_ids=[added.batch.id.upper()])
    assert [job.creation_order for job in response.jobs] == [1, 2, 3, 4, 5]
    assert response.total_size == 7


async def test_lists_show_neither_sequences_nor_other_projects(process, issuer) -> None:
    mine, yours = await process.add(2), await process.add(3, project_id=OTHER)
    for projects, expected in (
        ([PROJECT], {mine.batch.id: 2}),
        ([OTHER], {yours.batch.id: 3}),
        ([PROJECT, OTHER], {mine.batch.id: 2, yours.batch.id: 3}),
        ([], {}),
        ([str(uuid.uuid4())], {}),
    ):
        response = await listed(process, issuer.credentials(*projects))
        counted: dict[str, int] = {}
        for job in response.jobs:
            counted[job.batch_id] = counted.get(job.batch_id, 0) + 1
            assert not job.HasField("sequence")
        assert counted == expected
        assert response.total_size == sum(expected.values())


@pytest.mark.parametrize(
    "wanted",
    [
        {"project_ids": [OTHER]},
        {"project_ids": [str(uuid.uuid4())]},
        {"batch_ids": "foreign"},
        {"ids": "foreign"},
        {"id_prefix": "foreign"},
    ],
)
async def test_a_filter_does_not_open_other_projects(process, member, wanted) -> None:
    await process.add(1)
    foreign = await process.add(1, project_id=OTHER)
    values = {"ids": [foreign.jobs[0].id], "batch_ids": [foreign.batch.id]}
    values["id_prefix"] = foreign.jobs[0].id[:8]
    filled = {name: values[name] if v == "foreign" else v for name, v in wanted.items()}
    assert (await listed(process, member, **filled)).total_size == 0


# --- filters and orders, against a plain reading of the rows ----------------------------------


@pytest.fixture
def zoo(tables) -> list[dict[str, Any]]:
    """Jobs of every kind, over two projects, with equal values to tie."""
    chance = random.Random(7)
    for number in range(12):
        tables.add(
            8,
            now=chance.choice([10, 20, 30]) * 1_000_000,
            project_id=chance.choice([PROJECT, OTHER]),
            user_id=chance.choice(["ada", "bob", "eve"]),
            origin=chance.choice(["CLIENT", "AZURE", "OVH", "UNKNOWN"]),
            queue_rank=1 + number % 5,
        )
    kinds = {
        "PENDING": "start_at = NULL",
        "RUNNING": "start_at = :at, lease_token = seq, lease_expires_at = 9e15, progress = :some",
        "DONE": "start_at = :at, end_at = :at + 5000000, result_key = 'k', progress = 100",
        "ERROR": "start_at = :at, end_at = :at + 1000000, errors = '[\"No.\"]'",
        "CANCELED": "end_at = :at",
    }

    def change(connection: Any) -> None:
        for seq in connection.execute(text("SELECT seq FROM job ORDER BY seq")).scalars().all():
            status = chance.choice(list(kinds))
            facts = {"seq": seq, "some": chance.choice([0, 30]), "status": status}
            facts |= {"at": chance.choice([40, 50]) * 1_000_000}
            facts |= {"runs": chance.choice([None, 5, 10])}
            columns = f"status = :status, runs = :runs, {kinds[status]}"
            used = {name: value for name, value in facts.items() if f":{name}" in columns}
            statement = text(f"UPDATE job SET {columns} WHERE seq = :seq")
            connection.execute(statement, used | {"seq": seq})

    tables(change)
    return tables.rows("SELECT * FROM job ORDER BY seq")


def at(second: int) -> Timestamp:
    return Timestamp(seconds=second)


FILTERS: dict[str, tuple[dict[str, Any], Any]] = {
    "all": ({}, lambda j: True),
    "status": ({"statuses": [S.JOB_STATUS_DONE]}, lambda j: j["status"] == "DONE"),
    "statuses": (
        {"statuses": [S.JOB_STATUS_PENDING, S.JOB_STATUS_RUNNING]},
        lambda j: j["status"] in ("PENDING", "RUNNING"),
    ),
    "user": ({"user_ids": ["ada"]}, lambda j: j["user_id"] == "ada"),
    "users": ({"user_ids": ["ada", "eve"]}, lambda j: j["user_id"] in ("ada", "eve")),
    "project": ({"project_ids": [PROJECT.upper()]}, lambda j: j["project_id"] == PROJECT),
    "origin": ({"origins": [job_pb2.JOB_ORIGIN_OVH]}, lambda j: j["origin"] == "OVH"),
    "min runs": ({"min_runs": 6}, lambda j: j["runs"] is not None and j["runs"] >= 6),
    "max runs": ({"max_runs": 5}, lambda j: j["runs"] is not None and j["runs"] <= 5),
    "no runs": ({"min_runs": 6, "max_runs": 5}, lambda j: False),
    "errors": ({"errors": True}, lambda j: j["errors"] is not None),
    "no errors": ({"errors": False}, lambda j: j["errors"] is None),
    "start": ({"start_time": at(50)}, lambda j: (j["start_at"] or 0) >= 50_000_000),
    "end": (
        {"end_time": at(45)},
        lambda j: j["end_at"] is not None and j["end_at"] <= 45_000_000,
    ),
    "mixed": (
        {"statuses": [S.JOB_STATUS_DONE, S.JOB_STATUS_ERROR], "user_ids": ["bob"], "errors": True},
        lambda j: j["status"] == "ERROR" and j["user_id"] == "bob",
    ),
}


def in_order(jobs: Sequence[dict[str, Any]], column: str, descending: bool) -> list[str]:
    def key(job: dict[str, Any]) -> tuple[bool, Any, int]:
        value = job[ORDERS[column].name]
        return value is not None, value if value is not None else 0, job["seq"]

    return [job["id"] for job in sorted(jobs, key=key, reverse=descending)]


@pytest.mark.parametrize("name", list(FILTERS))
async def test_filters(zoo, process, issuer, name: str) -> None:
    wanted, holds = FILTERS[name]
    for projects in ([PROJECT], [PROJECT, OTHER]):
        visible = [job for job in zoo if job["project_id"] in projects and holds(job)]
        response = await listed(process, issuer.credentials(*projects), **wanted)
        assert [job.id for job in response.jobs] == in_order(visible, "created_at", True)[:100]
        assert response.total_size == len(visible)


@pytest.mark.parametrize("column", list(ORDERS))
async def test_orders(zoo, process, issuer, column: str) -> None:
    some = [S.JOB_STATUS_PENDING, S.JOB_STATUS_RUNNING, S.JOB_STATUS_ERROR]
    for projects, wanted, direction, skip in product(
        ([PROJECT], [PROJECT, OTHER]), ([], some), (ASC, DESC), (0, 7)
    ):
        words = {S.Name(number).removeprefix("JOB_STATUS_") for number in wanted}
        visible = [
            job
            for job in zoo
            if job["project_id"] in projects and (not words or job["status"] in words)
        ]
        expected = in_order(visible, column, direction == DESC)
        page = paging_pb2.Page(order_by=column, direction=direction, skip=skip, size=20)
        response = await listed(process, issuer.credentials(*projects), page, statuses=wanted)
        assert [job.id for job in response.jobs] == expected[skip : skip + 20]


async def test_ids_in_any_spelling(zoo, process, member) -> None:
    mine = [job["id"] for job in zoo if job["project_id"] == PROJECT][:3]
    spellings = [mine[0].upper(), mine[1].replace("-", ""), f"{{{mine[2]}}}"]
    response = await listed(process, member, ids=spellings)
    assert {job.id for job in response.jobs} == set(mine)
    assert response.total_size == 3


@pytest.mark.parametrize("length", [1, 4, 9, 20, 36])
async def test_the_beginning_of_an_id(zoo, process, member, length: int) -> None:
    mine = [job for job in zoo if job["project_id"] == PROJECT]
    prefix = mine[5]["id"][:length]
    matching = [job for job in mine if job["id"].startswith(prefix)]
    response = await listed(process, member, id_prefix=prefix.upper())
    assert [job.id for job in response.jobs] == in_order(matching, "created_at", True)


@pytest.mark.parametrize("prefix", ["%", "_", "g", "zzz", "'"])
async def test_a_beginning_that_no_id_has(zoo, process, member, prefix: str) -> None:
    assert (await listed(process, member, id_prefix=prefix)).total_size == 0


async def test_several_batches(zoo, process, member) -> None:
    mine = [job for job in zoo if job["project_id"] == PROJECT]
    batches = sorted({job["batch_id"] for job in zoo})[:6]
    matching = [job for job in mine if job["batch_id"] in batches]
    response = await listed(process, member, batch_ids=batches)
    assert [job.id for job in response.jobs] == in_order(matching, "created_at", True)


@pytest.mark.parametrize(
    ("field", "page", "wanted"),
    [
        ("limit", {"size": 1001}, {}),
        ("offset", {"skip": -1}, {}),
        ("order_by", {"order_by": "lease_token"}, {}),
        ("id", {}, {"ids": ["x"]}),
        ("batch_id", {}, {"batch_ids": ["x"]}),
        ("project_id", {}, {"project_ids": ["x"]}),
        ("status", {}, {"statuses": [0]}),
    ],
)
async def test_bad_input_is_named(process, member, field: str, page, wanted) -> None:
    error = await refusal(listed(process, member, paging_pb2.Page(**page), **wanted))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error.details().startswith(f"{field}: ")
