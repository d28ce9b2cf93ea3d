"""Changes of batches and jobs over HTTP: what is asked of the services, and the answers."""

import asyncio
import gzip
import json
from urllib.parse import urlencode

import grpc
import pytest

from tweezer.gateway.schemas.answers import (
    BatchBulkCancelResponse,
    BatchWithJobs,
    JobBulkCancelResponse,
    JobPartialV2,
)
from tweezer.gateway.schemas.envelopes import Failure, Invalid, Success
from tweezer.rpc.errors import InvalidInput, NotAllowedNow, NotFound
from tweezer.v1 import batch_pb2, job_pb2, paging_pb2
from tweezer.v1 import batch_service_pb2 as batch
from tweezer.v1 import job_service_pb2 as job

PROJECT = "00000000-0000-0000-0000-000000000001"
BATCH = "00000000-0000-0000-0000-000000000002"
JOB = "00000000-0000-0000-0000-000000000003"

V1, V2 = f"/api/v1/batches/{BATCH}", f"/api/v2/batches/{BATCH}"

#: Operations that answer the batch with all its jobs: method, path, body, RPC.
CHANGES = [
    ("POST", f"{V2}/jobs", [{"runs": 5}], "AddJobs"),
    ("PATCH", f"{V2}/complete", None, "CloseBatch"),
    ("PATCH", f"{V2}/cancel", None, "CancelBatch"),
    ("PATCH", f"{V1}/tags", ["a"], "SetBatchTags"),
]

#: All operations of this module.
EVERY = [
    *CHANGES,
    ("PATCH", "/api/v1/batches/cancel", {"batch_ids": [BATCH]}, "CancelBatches"),
    ("PATCH", f"{V2}/cancel/jobs", None, "CancelJobs"),
    ("POST", f"{V1}/rebatch", None, "RepeatBatch"),
    ("PATCH", f"/api/v2/jobs/{JOB}/cancel", None, "CancelJob"),
]

#: What the public client sends with an empty body as well.
HEADERS = {"Content-Type": "application/json"}

CONDITIONS = urlencode(
    [
        ("id", JOB.upper()),
        ("id__starts_with", "0000"),
        ("batch_id", BATCH),
        ("project_id", PROJECT),
        ("user_id", "u"),
        ("status", "DONE"),
        ("status", "RUNNING"),
        ("min_runs", "1"),
        ("max_runs", "9"),
        ("errors", "False"),
        ("origin", "OVH"),
        ("start_date", "2025-01-01T00:00:00"),
        ("end_date", "2025-01-02T00:00:00Z"),
    ]
)


def _wanted():
    wanted = job_pb2.JobFilter(
        ids=[JOB],
        id_prefix="0000",
        batch_ids=[BATCH],
        project_ids=[PROJECT],
        user_ids=["u"],
        statuses=[
            job_pb2.JOB_STATUS_DONE,
            job_pb2.JOB_STATUS_RUNNING,
            job_pb2.JOB_STATUS_CANCELING,
        ],
        min_runs=1,
        max_runs=9,
        errors=False,
        origins=[job_pb2.JOB_ORIGIN_OVH],
    )
    wanted.start_time.FromJsonString("2025-01-01T00:00:00Z")
    wanted.end_time.FromJsonString("2025-01-02T00:00:00Z")
    return wanted


def problems(response):
    assert response.status_code == 422
    Invalid.model_validate(response.json())
    return response.json()["data"]["description"]


@pytest.mark.parametrize(("method", "path", "body", "rpc"), CHANGES)
async def test_a_change_answers_the_batch_with_all_its_jobs(
    client, services, required_keys, make_job, method, path, body, rpc
):
    every = [make_job(creation_order=rank) for rank in range(2500)]
    services.answers["ListJobs"] = lambda request: job.ListJobsResponse(
        jobs=every[request.page.skip : request.page.skip + request.page.size], total_size=2500
    )

    response = await client.request(method, path, json=body, headers=HEADERS)

    assert response.status_code == 200
    Success[BatchWithJobs].model_validate(response.json())
    data = response.json()["data"]
    assert data.keys() == required_keys("BatchWithJobs")
    assert data["jobs"][0].keys() == required_keys("JobPartialV1")
    assert data["sequence_builder"] == "<sequence>"
    assert [j["creation_order"] for j in data["jobs"]] == list(range(2500))
    change, *lists = services.calls
    assert (change.method, change.request.batch_id) == (rpc, BATCH)
    assert [call.request for call in lists] == [
        job.ListJobsRequest(
            filter=job_pb2.JobFilter(batch_ids=[BATCH]),
            page=paging_pb2.Page(
                size=1000,
                skip=skip,
                order_by="creation_order",
                direction=paging_pb2.SORT_DIRECTION_ASC,
            ),
        )
        for skip in (0, 1000, 2000)
    ]
    assert all(call.metadata["authorization"] == "Bearer the-token" for call in services.calls)


@pytest.mark.parametrize(("method", "path", "body", "rpc"), EVERY)
@pytest.mark.parametrize("prefix", ["", "/core-fast"])
@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NotFound(f"batch {BATCH} not found"), 404),
        (NotAllowedNow("the batch is closed"), 409),
    ],
)
async def test_a_refusal_reaches_the_caller(
    client, services, method, path, body, rpc, prefix, error, status
):
    services.answers[rpc] = error

    response = await client.request(method, prefix + path, json=body, headers=HEADERS)

    assert response.status_code == status
    Failure.model_validate(response.json())
    assert response.json()["data"] == {"description": str(error)}
    assert [call.method for call in services.calls] == [rpc]


@pytest.mark.parametrize(("method", "path", "body", "rpc"), EVERY)
async def test_changes_are_never_repeated(client, services, fails, method, path, body, rpc):
    services.answers[rpc] = fails(grpc.StatusCode.UNAVAILABLE, "restarting")

    assert (await client.request(method, path, json=body)).status_code == 503
    assert [call.method for call in services.calls] == [rpc]


@pytest.mark.parametrize(("method", "path", "body", "rpc"), CHANGES)
@pytest.mark.parametrize("code", [grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.INTERNAL])
async def test_a_change_that_cannot_be_shown_does_not_make_the_client_repeat_it(
    client, services, fails, method, path, body, rpc, code
):
    services.answers["ListJobs"] = fails(code, "at 10.0.0.1")

    response = await client.request(method, path, json=body)

    # The public client repeats requests, POST included, after 500, 502 and 504, and not after 503.
    assert response.status_code == 503
    assert response.json()["data"]["description"].startswith("it was done, but")
    assert services.calls[0].method == rpc


async def test_added_jobs_may_be_compressed(client, services):
    jobs = [
        {"runs": 100, "variables": {"omega": 5, "delta": 5.0}},
        {"runs": 3, "variables": None, "sequence": "<own>"},
        {},
    ]

    response = await client.post(
        f"{V2}/jobs",
        content=gzip.compress(json.dumps(jobs).encode()),
        headers={"Content-Encoding": "gzip", **HEADERS},
    )

    assert response.status_code == 200
    assert services.calls[0].request == batch.AddJobsRequest(
        batch_id=BATCH,
        jobs=[
            batch_pb2.NewJob(runs=100, variables_json='{"omega":5,"delta":5.0}'),
            batch_pb2.NewJob(runs=3, sequence="<own>"),
            batch_pb2.NewJob(),
        ],
    )


@pytest.mark.parametrize(
    ("body", "loc"),
    [
        (b"", ["body"]),
        (b"{}", ["body"]),
        (b"[]", ["body"]),
        (b'[{"runs": 1}, {"runs": "many"}]', ["body", 1, "runs"]),
        (b'[{"variables": {"x": [0, NaN]}}]', ["body", 0, "variables", "x", 1]),
        (b"[[]]", ["body", 0]),
    ],
)
async def test_malformed_jobs_are_named_from_the_list(client, services, body, loc):
    (problem,) = problems(await client.post(f"{V2}/jobs", content=body))

    assert problem["loc"] == loc
    assert services.calls == []


@pytest.mark.parametrize(
    ("field", "loc"),
    [
        ("jobs[3].runs", ["body", 3, "runs"]),
        ("jobs[0].variables.omega", ["body", 0, "variables", "omega"]),
        ("jobs", ["body"]),
        ("batch_id", ["path", "batch_id"]),
    ],
)
async def test_jobs_that_a_service_finds_invalid_are_named_from_the_list(
    client, services, field, loc
):
    services.answers["AddJobs"] = InvalidInput(field, "is wrong")

    (problem,) = problems(await client.post(f"{V2}/jobs", json=[{}]))

    assert (problem["loc"], problem["msg"]) == (loc, "is wrong")


async def test_tags_are_a_bare_list(client, services):
    response = await client.patch(f"{V1}/tags", json=["a", "ünï"])

    assert response.json()["data"]["tags"] == ["a", "b"]
    assert services.calls[0].request == batch.SetBatchTagsRequest(batch_id=BATCH, tags=["a", "ünï"])
    await client.patch(f"{V1}/tags", json=[])
    assert services.calls[2].request == batch.SetBatchTagsRequest(batch_id=BATCH)


@pytest.mark.parametrize(
    ("body", "loc"), [(b'{"tags": []}', ["body"]), (b'["a", 1]', ["body", 1]), (b"", ["body"])]
)
async def test_malformed_tags(client, services, body, loc):
    (problem,) = problems(await client.patch(f"{V1}/tags", content=body))

    assert problem["loc"] == loc
    assert services.calls == []


async def test_a_tag_that_a_service_finds_invalid_is_named_from_the_list(client, services):
    services.answers["SetBatchTags"] = InvalidInput("tags[1]", "is too long")

    (problem,) = problems(await client.patch(f"{V1}/tags", json=["a", "b"]))

    assert problem["loc"] == ["body", 1]


@pytest.mark.parametrize(("query", "wanted"), [("", job_pb2.JobFilter()), (CONDITIONS, _wanted())])
async def test_jobs_are_cancelled_by_conditions(client, services, required_keys, query, wanted):
    response = await client.patch(f"{V2}/cancel/jobs?{query}", headers=HEADERS)

    Success[JobBulkCancelResponse].model_validate(response.json())
    data = response.json()["data"]
    assert data.keys() == required_keys("JobBulkCancelResponse")
    (cancelled,) = data["jobs"]
    assert cancelled.keys() == required_keys("JobPartialV1")
    assert cancelled["status"] == "RUNNING"  # it is being stopped
    assert data["errors"] == {BATCH: "the job is DONE"}
    assert services.last.request == job.CancelJobsRequest(batch_id=BATCH, filter=wanted)


@pytest.mark.parametrize(("query", "wanted"), [("", job_pb2.JobFilter()), (CONDITIONS, _wanted())])
async def test_jobs_are_repeated_by_conditions(client, services, required_keys, query, wanted):
    response = await client.post(f"{V1}/rebatch?{query}", content=b"", headers=HEADERS)

    Success[BatchWithJobs].model_validate(response.json())
    data = response.json()["data"]
    assert data.keys() == required_keys("BatchWithJobs")
    assert (data["id"], data["parent_id"]) == (JOB, BATCH)
    assert [(j["id"], j["parent_id"]) for j in data["jobs"]] == [(PROJECT, JOB)]
    assert [call.request for call in services.calls] == [
        batch.RepeatBatchRequest(batch_id=BATCH, filter=wanted)
    ]


@pytest.mark.parametrize(
    ("method", "path"), [("PATCH", f"{V2}/cancel/jobs"), ("POST", f"{V1}/rebatch")]
)
@pytest.mark.parametrize(
    ("query", "loc"),
    [
        ("statuses=DONE", ["statuses"]),
        ("limit=1", ["limit"]),
        ("id=", ["id", 0]),
        ("status=", ["status", 0]),
        ("min_runs=", ["min_runs"]),
    ],
)
async def test_a_condition_that_is_not_understood_selects_nothing(
    client, services, method, path, query, loc
):
    (problem,) = problems(await client.request(method, f"{path}?{query}"))

    assert problem["loc"] == ["query", *loc]
    assert services.calls == []


async def test_that_no_job_matches_is_said_of_the_query(client, services):
    services.answers["RepeatBatch"] = InvalidInput("filter", "no job matches")

    (problem,) = problems(await client.post(f"{V1}/rebatch?min_runs=7"))

    assert problem["loc"] == ["query"]


async def test_batches_are_cancelled_by_identifier(client, services, required_keys):
    body = {"batch_ids": [BATCH.upper(), JOB.replace("-", "")], "status": ["PENDING"]}

    response = await client.patch("/api/v1/batches/cancel", json=body)

    Success[BatchBulkCancelResponse].model_validate(response.json())
    data = response.json()["data"]
    assert data.keys() == required_keys("BatchBulkCancelResponse")
    (cancelled,) = data["batches"]
    assert cancelled.keys() == required_keys("BatchWithoutJobs")
    assert cancelled["status"] == "CANCELED"
    assert data["errors"] == {JOB: "batch not found"}
    # Beside identifiers the criteria do not count.
    assert services.last.request == batch.CancelBatchesRequest(batch_ids=[BATCH, JOB])


@pytest.mark.parametrize("number", [1735689600, "1735689600", 0.5, "0.5"])
async def test_a_number_is_not_a_date(client, services, number):
    response = await client.patch("/api/v1/batches/cancel", json={"start_date": number})

    assert response.status_code == 422
    (problem,) = response.json()["data"]["description"]
    assert problem["loc"] == ["body", "start_date"]
    assert services.calls == []


async def test_batches_are_cancelled_by_criteria(client, services):
    body = {
        "project_id": [PROJECT],
        "user_id": ["u"],
        "device_type": ["EMU_FREE"],
        "status": ["PENDING", "RUNNING"],
        "open": False,
        "start_date": "2025-01-01T00:00:00",
        "queue_priority": ["LOW"],
        "tags": ["a"],
        "batch_ids": None,
        "cancel_all": False,
    }

    assert (await client.patch("/api/v1/batches/cancel", json=body)).status_code == 200

    wanted = batch_pb2.BatchFilter(
        project_ids=[PROJECT],
        user_ids=["u"],
        device_types=["EMU_FREE"],
        statuses=[batch_pb2.BATCH_STATUS_PENDING, batch_pb2.BATCH_STATUS_RUNNING],
        open=False,
        queue_priorities=[batch_pb2.QUEUE_PRIORITY_LOW],
    )
    wanted.start_time.FromJsonString("2025-01-01T00:00:00Z")
    assert services.last.request == batch.CancelBatchesRequest(filter=wanted, tags=["a"])


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ({"cancel_all": True}, batch.CancelBatchesRequest(cancel_all=True)),
        (
            {"open": False},
            batch.CancelBatchesRequest(filter=batch_pb2.BatchFilter(open=False)),
        ),
        (
            {"tags": ["a"]},
            batch.CancelBatchesRequest(filter=batch_pb2.BatchFilter(), tags=["a"]),
        ),
    ],
)
async def test_one_criterion_is_enough(client, services, body, wanted):
    assert (await client.patch("/api/v1/batches/cancel", json=body)).status_code == 200
    assert services.last.request == wanted


@pytest.mark.parametrize(
    ("body", "loc"),
    [
        ({}, ["body"]),
        ({"batch_ids": []}, ["body", "batch_ids"]),
        ({"batch_ids": None, "cancel_all": False}, ["body"]),
        ({"batch_ids": ["x"]}, ["body", "batch_ids", 0]),
        ({"status": []}, ["body", "status"]),
        ({"status": ["DONE"]}, ["body", "status", 0]),
        ({"status": ["CANCELING"]}, ["body", "status", 0]),
        ({"cancel_all": True, "open": False}, ["body"]),
        ({"cancel_all": True, "batch_ids": [BATCH]}, ["body"]),
        ({"tags": ["a"], "end_date": "2025-01-01"}, ["body", "end_date"]),
        ([BATCH], ["body"]),
    ],
)
async def test_a_selection_that_could_be_taken_for_all_is_refused(client, services, body, loc):
    (problem,) = problems(await client.patch("/api/v1/batches/cancel", json=body))

    assert problem["loc"] == loc
    assert services.calls == []


async def test_cancel_is_not_taken_for_an_identifier(client, services):
    await client.patch("/api/v1/batches/cancel", json={"batch_ids": [BATCH]})
    await client.patch(f"/api/v2/jobs/{JOB}/cancel")

    assert [call.method for call in services.calls] == ["CancelBatches", "CancelJob"]


async def test_a_job_is_cancelled(client, services, required_keys):
    response = await client.patch(f"/api/v2/jobs/{JOB}/cancel", headers=HEADERS)

    Success[JobPartialV2].model_validate(response.json())
    assert response.json()["data"].keys() == required_keys("JobPartialV2")
    assert response.json()["data"]["status"] == "CANCELED"
    assert services.last.request == job.CancelJobRequest(job_id=JOB)


async def test_what_is_being_stopped_is_shown_as_running_everywhere(client, services, make_job):
    canceling = make_job(status=job_pb2.JOB_STATUS_CANCELING)
    services.answers["GetBatchStatus"] = batch.GetBatchStatusResponse(
        status=batch_pb2.BATCH_STATUS_CANCELING,
        job_counts=batch_pb2.JobCounts(canceling=2, running=1, canceled=3),
    )
    services.answers["GetJobStatus"] = job.GetJobStatusResponse(status=canceling.status)
    services.answers["ListJobs"] = job.ListJobsResponse(jobs=[canceling], total_size=1)

    polled = (await client.get(f"{V1}/status")).json()["data"]
    assert polled == {"status": "RUNNING", "jobs_count_per_status": {"RUNNING": 3, "CANCELED": 3}}
    assert (await client.get(f"/api/v1/jobs/{JOB}/status")).json()["data"] == {"status": "RUNNING"}
    cancelled = (await client.patch(f"{V2}/cancel")).json()["data"]
    assert (cancelled["status"], cancelled["jobs"][0]["status"]) == ("RUNNING", "RUNNING")


class TestDeadline:
    @pytest.fixture
    def more_settings(self):
        return {"gateway_call_deadline": 10}

    async def test_all_calls_for_a_request_share_it(self, client, services):
        slow = services.answers["CloseBatch"]

        async def close(_):
            await asyncio.sleep(0.3)  # what a slow service takes of the time
            return slow

        services.answers["CloseBatch"] = close

        await client.patch(f"{V2}/complete")

        assert services.last.method == "ListJobs"
        assert services.last.seconds_left < 9.8
