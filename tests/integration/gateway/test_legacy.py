"""Version 1 of the API: jobs with their results."""

import grpc
import pytest

from tweezer.gateway.schemas.answers import (
    BatchResultsLinks,
    JobBulkCancelResponse,
    JobResult,
    LegacyBatchWithResults,
    LegacyJobWithResults,
    ProjectLastActivity,
)
from tweezer.gateway.schemas.envelopes import Failure, Invalid, Success
from tweezer.rpc.errors import InvalidInput, NotFound
from tweezer.v1 import batch_pb2, job_pb2, paging_pb2
from tweezer.v1 import batch_service_pb2 as batch
from tweezer.v1 import job_service_pb2 as job

PROJECT = "00000000-0000-0000-0000-000000000001"
BATCH = "00000000-0000-0000-0000-000000000002"
JOB = "00000000-0000-0000-0000-000000000003"

V1 = f"/api/v1/batches/{BATCH}"
RESULTS = {"result", "full_result"}
FILE = {"counter": {"01": 7}, "raw": None}

#: One job in each status.
STATUSES = list(job_pb2.JobStatus.values())[1:]


def _id(rank):
    return f"10000000-0000-0000-0000-{rank:012}"


@pytest.fixture
def in_every_status(services, make_job):
    """Makes a batch have one job in each status; the one with a result is the fourth."""
    jobs = [make_job(id=_id(s), status=s, creation_order=s) for s in STATUSES]
    services.answers["ListJobs"] = job.ListJobsResponse(jobs=jobs, total_size=len(jobs))


DONE = _id(job_pb2.JOB_STATUS_DONE)


async def test_a_batch_has_its_jobs_with_results(client, services, required_keys, in_every_status):
    response = await client.get(V1)

    assert response.status_code == 200
    Success[LegacyBatchWithResults].model_validate(response.json())
    data = response.json()["data"]
    assert data.keys() == required_keys("LegacyBatchWithResults")
    assert all(j.keys() == required_keys("LegacyJobWithResults") | RESULTS for j in data["jobs"])
    assert {j["id"]: (j["result"], j["full_result"]) for j in data["jobs"]} == {
        _id(status): (None, None) if _id(status) != DONE else ({"01": 7}, FILE)
        for status in STATUSES
    }
    # Only what has a result is asked for it.
    assert [c.request for c in services.calls if c.method == "GetResult"] == [
        job.GetResultRequest(job_id=DONE)
    ]
    assert services.last.metadata["authorization"] == "Bearer the-token"


async def test_a_job_has_its_result(client, services, required_keys):
    response = await client.get(f"/api/v1/jobs/{JOB}")

    Success[LegacyJobWithResults].model_validate(response.json())
    data = response.json()["data"]
    assert data.keys() == required_keys("LegacyJobWithResults") | RESULTS
    assert (data["result"], data["full_result"]) == ({"01": 7}, FILE)


async def test_a_result_without_counts(client, services):
    services.answers["GetResult"] = job.GetResultResponse(chunk=b'{"serialised_results": "{}"}')

    data = (await client.get(f"/api/v1/jobs/{JOB}")).json()["data"]

    assert (data["result"], data["full_result"]) == (None, {"serialised_results": "{}"})


@pytest.mark.parametrize("path", [f"/api/v1/jobs/{JOB}", "/api/v1/jobs"])
async def test_a_result_that_is_gone_is_null(client, services, path):
    services.answers["GetResult"] = NotFound(f"job {JOB} has no result")

    data = (await client.get(path)).json()["data"]
    (found,) = data if isinstance(data, list) else [data]

    assert (found["status"], found["result"], found["full_result"]) == ("DONE", None, None)


async def test_jobs_are_listed_with_their_results(client, services, required_keys):
    response = await client.get(f"/api/v1/jobs?batch_id={BATCH}&limit=7&offset=3&status=DONE")

    Success[list[LegacyJobWithResults]].model_validate(response.json())
    (row,) = response.json()["data"]
    assert row.keys() == required_keys("LegacyJobWithResults") | RESULTS
    assert row["full_result"] == FILE
    assert services.calls[0].request == job.ListJobsRequest(
        filter=job_pb2.JobFilter(batch_ids=[BATCH], statuses=[job_pb2.JOB_STATUS_DONE]),
        page=paging_pb2.Page(
            size=7, skip=3, order_by="created_at", direction=paging_pb2.SORT_DIRECTION_DESC
        ),
    )


async def test_a_job_is_added(client, services, required_keys):
    body = {"batch_id": BATCH.upper(), "runs": 5, "variables": {"omega": 5.0}, "other": 1}

    response = await client.post("/api/v1/jobs", json=body)

    Success[LegacyJobWithResults].model_validate(response.json())
    assert response.json()["data"].keys() == required_keys("LegacyJobWithResults")
    assert [call.request for call in services.calls] == [
        batch.AddJobsRequest(
            batch_id=BATCH, jobs=[batch_pb2.NewJob(runs=5, variables_json='{"omega":5.0}')]
        )
    ]


@pytest.mark.parametrize(
    ("body", "loc"),
    [
        ({"runs": 5}, ["body", "batch_id"]),
        ({"batch_id": BATCH}, ["body", "runs"]),
        ({"batch_id": BATCH, "runs": "5"}, ["body", "runs"]),
        ({"batch_id": BATCH, "runs": 5, "variables": []}, ["body", "variables"]),
        ({"batch_id": BATCH, "runs": 5, "variables": {"x": 2**64}}, ["body", "variables"]),
    ],
)
async def test_a_malformed_job(client, services, body, loc):
    response = await client.post("/api/v1/jobs", json=body)

    assert response.status_code == 422
    Invalid.model_validate(response.json())
    (problem,) = response.json()["data"]["description"]
    assert problem["loc"] == loc
    assert services.calls == []


@pytest.mark.parametrize(
    ("field", "loc"),
    [
        ("jobs[0].variables.omega", ["body", "variables", "omega"]),
        ("batch_id", ["body", "batch_id"]),
    ],
)
async def test_a_job_that_a_service_finds_invalid(client, services, field, loc):
    services.answers["AddJobs"] = InvalidInput(field, "is wrong")

    response = await client.post("/api/v1/jobs", json={"batch_id": BATCH, "runs": 1})

    (problem,) = response.json()["data"]["description"]
    assert problem["loc"] == loc


@pytest.mark.parametrize(
    ("method", "path", "body", "rpc"),
    [
        ("POST", f"{V1}/jobs", [{"runs": 1}], "AddJobs"),
        ("PUT", f"{V1}/complete", None, "CloseBatch"),
    ],
)
async def test_changes_answer_the_batch_without_results(
    client, services, required_keys, in_every_status, method, path, body, rpc
):
    response = await client.request(method, path, json=body)

    Success[LegacyBatchWithResults].model_validate(response.json())
    data = response.json()["data"]
    assert data.keys() == required_keys("LegacyBatchWithResults")
    assert all(j.keys() == required_keys("LegacyJobWithResults") for j in data["jobs"])
    assert len(data["jobs"]) == len(STATUSES)
    assert services.calls[0].method == rpc
    assert services.calls[0].request.batch_id == BATCH


async def test_a_cancelled_batch_answers_its_cancelled_jobs(
    client, services, required_keys, in_every_status
):
    response = await client.put(f"{V1}/cancel")

    Success[JobBulkCancelResponse].model_validate(response.json())
    data = response.json()["data"]
    assert data.keys() == required_keys("JobBulkCancelResponse")
    assert [(j["id"], j["status"]) for j in data["jobs"]] == [
        (_id(job_pb2.JOB_STATUS_CANCELING), "RUNNING"),
        (_id(job_pb2.JOB_STATUS_CANCELED), "CANCELED"),
    ]
    assert services.calls[0].request == batch.CancelBatchRequest(batch_id=BATCH)


async def test_jobs_are_cancelled(client, services, required_keys):
    response = await client.put(f"{V1}/cancel/jobs?min_runs=3")

    Success[JobBulkCancelResponse].model_validate(response.json())
    assert services.last.request == job.CancelJobsRequest(
        batch_id=BATCH, filter=job_pb2.JobFilter(min_runs=3)
    )
    response = await client.put(f"/api/v1/jobs/{JOB}/cancel")
    Success[LegacyJobWithResults].model_validate(response.json())
    assert response.json()["data"].keys() == required_keys("LegacyJobWithResults")
    assert services.last.request == job.CancelJobRequest(job_id=JOB)


async def test_all_results_of_a_batch(client, services, in_every_status):
    response = await client.get(f"{V1}/full_results")

    Success[dict[str, JobResult]].model_validate(response.json())
    assert response.json()["data"] == {DONE: FILE}


async def test_results_of_a_batch_of_many_jobs(client, services, make_job):
    jobs = [make_job(id=_id(rank)) for rank in range(100)]
    services.answers["ListJobs"] = job.ListJobsResponse(jobs=jobs, total_size=100)
    services.answers["GetResult"] = lambda request: job.GetResultResponse(
        chunk=b'{"raw":["%s"]}' % request.job_id.encode()
    )

    data = (await client.get(f"{V1}/full_results")).json()["data"]

    assert data == {_id(rank): {"raw": [_id(rank)]} for rank in range(100)}


async def test_links_to_all_results_of_a_batch(client, services, required_keys, in_every_status):
    response = await client.get(f"/core-fast{V1}/results_link")

    Success[BatchResultsLinks].model_validate(response.json())
    assert response.json()["data"].keys() == required_keys("BatchResultsLinks")
    base = "http://gateway.example/core-fast/api/v1/results"
    assert response.json()["data"] == {"results_links": {DONE: f"{base}/t%2Fi%2Bc.k-et"}}
    services.answers["GetResultLink"] = job.GetResultLinkResponse()
    assert (await client.get(f"{V1}/results_link")).json()["data"] == {"results_links": {}}


@pytest.mark.parametrize("path", [V1, f"{V1}/full_results", f"{V1}/results_link"])
async def test_an_unknown_batch_is_not_found(client, services, path):
    missing = NotFound(f"batch {BATCH} not found")
    services.answers.update({"GetBatch": missing, "GetBatchStatus": missing})

    response = await client.get(path)

    assert response.status_code == 404
    Failure.model_validate(response.json())
    assert len(services.calls) == 1


class TestBound:
    @pytest.fixture
    def more_settings(self):
        return {"gateway_max_results_bytes": 1024}

    @pytest.mark.parametrize(
        "path", [V1, f"{V1}/full_results", "/api/v1/jobs", f"/api/v1/jobs/{JOB}"]
    )
    async def test_results_that_are_too_large_are_refused_with_the_way_out(
        self, client, services, path
    ):
        parts = [b'{"raw":["'] + [b"0" * 512] * 2 + [b'"]}']
        services.answers["GetResult"] = [job.GetResultResponse(chunk=part) for part in parts]

        response = await client.get(path)

        assert response.status_code == 413
        Failure.model_validate(response.json())
        assert "1024 bytes" in response.json()["data"]["description"]
        assert "results_link" in response.json()["data"]["description"]

    async def test_the_bound_is_for_all_results_together(self, client, services, make_job):
        file = b'{"raw":["%s"]}' % (b"0" * 400)
        services.answers["GetResult"] = job.GetResultResponse(chunk=file)
        jobs = [make_job(id=_id(rank)) for rank in range(3)]

        for count, status in ((2, 200), (3, 413)):
            services.answers["ListJobs"] = job.ListJobsResponse(jobs=jobs[:count], total_size=count)
            assert (await client.get(f"{V1}/full_results")).status_code == status


async def test_a_result_that_cannot_be_read_is_an_error(client, services, fails):
    services.answers["GetResult"] = fails(grpc.StatusCode.INTERNAL, "disk")

    assert (await client.get(f"{V1}/full_results")).status_code == 500


async def test_last_activity(client, services, required_keys):
    response = await client.get(f"/api/v1/batches/last_activity?project_id={PROJECT.upper()}")

    Success[list[ProjectLastActivity]].model_validate(response.json())
    (row,) = response.json()["data"]
    assert row.keys() == required_keys("ProjectLastActivity")
    assert row == {"project_id": PROJECT, "last_activity_date": "2025-01-15T10:30:00.123456Z"}
    assert services.last.request == batch.ListLastActivityRequest(project_ids=[PROJECT])


async def test_last_activity_is_for_operators(client, services, fails):
    services.answers["ListLastActivity"] = fails(
        grpc.StatusCode.PERMISSION_DENIED, "for operators only"
    )

    response = await client.get("/api/v1/batches/last_activity")

    assert response.status_code == 403
    assert response.json()["data"]["description"] == "for operators only"
