"""What OVH users' clients call."""

import gzip
import json

import pytest
from pasqal_cloud.endpoints import Endpoints
from pasqal_cloud.ovh import OVHConnection

from tweezer.gateway.schemas.answers import BatchWithJobs
from tweezer.gateway.schemas.envelopes import Success
from tweezer.v1 import account_service_pb2 as account
from tweezer.v1 import batch_service_pb2 as batch
from tweezer.v1 import job_pb2
from tweezer.v1 import job_service_pb2 as job

PROJECT = "00000000-0000-0000-0000-000000000001"
BATCH = "00000000-0000-0000-0000-000000000002"
JOB = "00000000-0000-0000-0000-000000000003"
OVH = "/api/v1/third-party-access/ovh"


@pytest.mark.parametrize("given", [{"project_id": ""}, {"project_id": None}, {}])
async def test_the_callers_only_project_owns_the_batch(client, services, required_keys, given):
    body = gzip.compress(json.dumps({**given, "sequence_builder": "<s>", "jobs": [{}]}).encode())

    response = await client.post(
        f"{OVH}/batches", content=body, headers={"Content-Encoding": "gzip"}
    )

    Success[BatchWithJobs].model_validate(response.json())
    assert response.json()["data"].keys() == required_keys("BatchWithJobs")
    assert [call.method for call in services.calls] == ["ListProjects", "CreateBatch"]
    request = services.last.request
    assert (request.project_id, request.origin) == (PROJECT, job_pb2.JOB_ORIGIN_OVH)
    assert (request.sequence, len(request.jobs)) == ("<s>", 1)


async def test_a_project_that_is_named_owns_the_batch(client, services):
    await client.post(f"{OVH}/batches", json={"project_id": JOB.upper()})

    assert [call.request for call in services.calls] == [
        batch.CreateBatchRequest(project_id=JOB, origin=job_pb2.JOB_ORIGIN_OVH)
    ]


@pytest.mark.parametrize(
    ("projects", "message"),
    [
        ([], "the caller has no project"),
        ([PROJECT, JOB], "the caller has several projects: name one"),
    ],
)
async def test_a_project_that_cannot_be_told_must_be_named(client, services, projects, message):
    services.answers["ListProjects"] = account.ListProjectsResponse(
        projects=[account.Project(id=project) for project in projects]
    )

    response = await client.post(f"{OVH}/batches", json={"project_id": ""})

    assert response.status_code == 422
    (problem,) = response.json()["data"]["description"]
    assert (problem["loc"], problem["msg"]) == (["body", "project_id"], message)
    assert [call.method for call in services.calls] == ["ListProjects"]


@pytest.mark.parametrize("project", ["mine", 7])
async def test_a_malformed_project(client, services, project):
    response = await client.post(f"{OVH}/batches", json={"project_id": project})

    (problem,) = response.json()["data"]["description"]
    assert problem["loc"] == ["body", "project_id"]
    assert services.calls == []


async def test_an_ordinary_batch_has_the_ordinary_origin(client, services):
    await client.post("/api/v1/batches", json={"project_id": PROJECT})

    assert services.last.request.origin == job_pb2.JOB_ORIGIN_UNSPECIFIED


@pytest.mark.parametrize(
    ("path", "same"),
    [
        (f"batches/{BATCH}", f"/api/v2/batches/{BATCH}"),
        (f"batches/{BATCH}/status", f"/api/v1/batches/{BATCH}/status"),
        (f"jobs?batch_id={BATCH}&limit=3", f"/api/v2/jobs?batch_id={BATCH}&limit=3"),
        (f"jobs/{JOB}/status", f"/api/v1/jobs/{JOB}/status"),
        (f"jobs/{JOB}/results_link", f"/api/v1/jobs/{JOB}/results_link"),
    ],
)
@pytest.mark.parametrize("prefix", ["", "/core-fast"])
async def test_reads_are_the_ordinary_ones(client, services, prefix, path, same):
    theirs = await client.get(f"{prefix}{OVH}/{path}")
    ours = await client.get(f"{prefix}{same}")

    assert theirs.status_code == 200
    assert theirs.json() == ours.json()
    first, second = services.calls
    assert (first.method, first.request) == (second.method, second.request)


async def test_the_ovh_connection_of_the_public_client(
    server_port, services, in_thread, monkeypatch
):
    monkeypatch.setenv("PASQAL_PULSER_ACCESS_TOKEN", "a.b.c")
    base = f"http://127.0.0.1:{server_port}"

    def work():
        cloud = OVHConnection(endpoints=Endpoints(core=base, account=base)).cloud_client
        created = cloud.create_batch("<sequence>", jobs=[{"runs": 5}])
        return created.id, cloud.get_batch(BATCH).status, cloud._client.get_job_results(JOB)

    assert await in_thread(work) == (
        BATCH,
        "DONE",
        {"raw": None, "counter": {"01": 7}, "serialised_results": None},
    )
    requests = {call.method: call.request for call in services.calls}
    assert requests["CreateBatch"].origin == job_pb2.JOB_ORIGIN_OVH
    assert requests["GetResultLink"] == job.GetResultLinkRequest(job_id=JOB)
