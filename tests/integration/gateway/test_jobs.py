"""Jobs over HTTP."""

import httpx
import pytest

from tweezer.gateway.schemas.answers import JobFull, JobPartialV2, JobStatusResponse
from tweezer.gateway.schemas.envelopes import Success, SuccessPage
from tweezer.v1 import job_pb2, paging_pb2
from tweezer.v1 import job_service_pb2 as job_service

BATCH = "00000000-0000-0000-0000-000000000002"
JOB = "00000000-0000-0000-0000-000000000003"


async def test_a_list_has_the_keys_of_the_contract_and_of_the_page(
    client, required_keys, page_examples
):
    body = (await client.get("/api/v2/jobs")).json()

    SuccessPage[JobPartialV2].model_validate(body)
    (row,) = body["data"]
    assert row.keys() == required_keys("JobPartialV2")
    assert {key for key, value in row.items() if value is not None} == {
        *page_examples["list_jobs"],
        "errors",  # a list without items rather than null
    }
    assert body["pagination"] == {"total": 1, "start": 0, "end": 1}


async def test_a_job_that_has_not_started_has_nulls(client, services):
    services.answers["ListJobs"] = job_service.ListJobsResponse(
        jobs=[job_pb2.Job(id=JOB, batch_id=BATCH, status=job_pb2.JOB_STATUS_PENDING)],
        total_size=1,
    )

    (row,) = (await client.get("/api/v2/jobs")).json()["data"]

    empty = {key for key, value in row.items() if value is None}
    assert empty == {
        "parent_id",
        "runs",
        "start_timestamp",
        "end_timestamp",
        "variables",
        "slurm_job_id",
        "slurm_cluster_name",
    }
    assert row["errors"] == []


async def test_get_job_shows_everything(client, services, make_job, required_keys):
    services.answers["GetJob"] = job_service.GetJobResponse(
        job=make_job(
            parent_id=BATCH,
            status=job_pb2.JOB_STATUS_ERROR,
            variables_json='{"ts":[200,500],"x":1e-300,"n":12345678901234567890}',
            errors=["The atoms q0 and q1 are too close."],
            sequence="<built>",
            slurm_job_id="77",
            slurm_cluster_name="tiny",
        )
    )

    response = await client.get(f"/api/v2/jobs/{JOB}")

    Success[JobFull].model_validate(response.json())
    data = response.json()["data"]
    assert data.keys() == required_keys("JobFull") | {"slurm_job_id", "slurm_cluster_name"}
    assert data["parent_id"] == BATCH
    assert data["status"] == "ERROR"
    assert data["errors"] == ["The atoms q0 and q1 are too close."]
    assert data["sequence"] == "<built>"
    assert (data["slurm_job_id"], data["slurm_cluster_name"]) == ("77", "tiny")
    # Numbers are those that came in, to the last character.
    assert '"variables":{"ts":[200,500],"x":1e-300,"n":12345678901234567890}' in response.text


async def test_status_is_what_clients_poll(client, required_keys):
    body = (await client.get(f"/api/v1/jobs/{JOB}/status")).json()

    Success[JobStatusResponse].model_validate(body)
    assert body["data"].keys() == required_keys("JobStatusResponse")
    assert body["data"] == {"status": "RUNNING"}


async def test_every_filter_reaches_the_service(client, services):
    query = httpx.QueryParams(
        [
            ("id", JOB.upper()),
            ("id__starts_with", "0000"),
            ("batch_id", BATCH),
            ("batch_id", JOB),
            ("project_id", BATCH),
            ("user_id", "u"),
            ("status", "CANCELING"),
            ("min_runs", "1"),
            ("max_runs", "2147483647"),
            ("errors", "True"),
            ("origin", "CLIENT"),
            ("origin", "OVH"),
            ("start_date", "2025-01-01T00:00:00+00:00"),
            ("end_date", "2025-01-02T00:00:00Z"),
            ("order_by", "creation_order"),
            ("order_by_direction", "ASC"),
        ]
    )

    assert (await client.get("/api/v2/jobs", params=query)).status_code == 200

    wanted = job_pb2.JobFilter(
        ids=[JOB],
        id_prefix="0000",
        batch_ids=[BATCH, JOB],
        project_ids=[BATCH],
        user_ids=["u"],
        statuses=[job_pb2.JOB_STATUS_CANCELING],
        min_runs=1,
        max_runs=2147483647,
        errors=True,
        origins=[job_pb2.JOB_ORIGIN_CLIENT, job_pb2.JOB_ORIGIN_OVH],
    )
    wanted.start_time.FromJsonString("2025-01-01T00:00:00Z")
    wanted.end_time.FromJsonString("2025-01-02T00:00:00Z")
    assert services.last.request == job_service.ListJobsRequest(
        filter=wanted,
        page=paging_pb2.Page(
            size=100, order_by="creation_order", direction=paging_pb2.SORT_DIRECTION_ASC
        ),
    )


@pytest.mark.parametrize("prefix", ["", "/core-fast"])
@pytest.mark.parametrize(
    "path", ["/api/v2/jobs", f"/api/v2/jobs/{JOB}", f"/api/v1/jobs/{JOB}/status"]
)
async def test_paths_are_served_under_both_prefixes(client, prefix, path):
    assert (await client.get(prefix + path)).status_code == 200
