"""Batches over HTTP: what is asked of the services, and the exact answers."""

import gzip
import json

import httpx
import pytest

from tweezer.gateway.schemas.answers import (
    BatchDetail,
    BatchListItem,
    BatchStatusResponse,
    BatchWithJobs,
)
from tweezer.gateway.schemas.envelopes import Success, SuccessPage
from tweezer.v1 import batch_pb2, paging_pb2
from tweezer.v1 import batch_service_pb2 as batch

PROJECT = "00000000-0000-0000-0000-000000000001"
BATCH = "00000000-0000-0000-0000-000000000002"
JOB = "00000000-0000-0000-0000-000000000003"


async def test_get_batch_answers_all_keys_of_the_contract(client, required_keys):
    response = await client.get(f"/api/v2/batches/{BATCH}")

    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    Success[BatchDetail].model_validate(body)
    assert body["data"].keys() == required_keys("BatchDetail") | {"job_ids"}
    assert body == {
        "status": "success",
        "message": "OK.",
        "code": "200",
        "data": {
            "id": BATCH,
            "parent_id": None,
            "status": "DONE",
            "complete": True,
            "open": False,
            "priority": 0,
            "device_type": "FRESNEL",
            "user_id": "user-123",
            "project_id": PROJECT,
            "created_at": "2025-01-15T10:30:00.123456Z",
            "updated_at": "2025-01-15T10:35:00Z",
            "jobs_count": 3,
            "jobs_count_per_status": {"DONE": 2, "ERROR": 1},
            "tags": ["experiment-1"],
            "configuration": None,
            "backend_configuration": None,
            "webhook": None,
            "start_datetime": "2025-01-15T10:31:00Z",
            "end_datetime": "2025-01-15T10:35:00Z",
            "queue_priority": "MEDIUM",
            "sequence_builder": "<sequence>",
            "job_ids": [JOB],
        },
    }


async def test_get_batch_shows_what_was_given_at_creation(client, services, make_batch):
    services.answers["GetBatch"] = batch.GetBatchResponse(
        batch=make_batch(
            parent_id=JOB,
            configuration_json='{"with_noise": true, "dt": 1.0, "seed": 12345678901234567890}',
            backend_configuration='{"autosave_dt": Infinity}',
            webhook="https://example.org/hook",
        )
    )

    data = (await client.get(f"/api/v2/batches/{BATCH}")).json()["data"]

    assert data["parent_id"] == JOB
    assert data["configuration"] == {"with_noise": True, "dt": 1.0, "seed": 12345678901234567890}
    assert data["backend_configuration"] == '{"autosave_dt": Infinity}'
    assert data["webhook"] == "https://example.org/hook"
    assert data["sequence_builder"] is None


@pytest.mark.parametrize(
    "spelling",
    [BATCH.upper(), BATCH.replace("-", ""), f"{{{BATCH}}}", f"urn:uuid:{BATCH}"],
)
async def test_an_id_may_be_spelled_in_any_way(client, services, spelling):
    assert (await client.get(f"/api/v2/batches/{spelling}")).status_code == 200
    assert services.last.request.batch_id == BATCH


async def test_the_token_is_passed_on_with_a_deadline(client, services):
    await client.get(f"/api/v2/batches/{BATCH}")

    assert services.last.metadata["authorization"] == "Bearer the-token"
    assert 0 < services.last.seconds_left <= 25


async def test_status_is_what_clients_poll(client, required_keys):
    body = (await client.get(f"/api/v1/batches/{BATCH}/status")).json()

    Success[BatchStatusResponse].model_validate(body)
    assert body["data"].keys() == required_keys("BatchStatusResponse")
    assert body["data"] == {
        "status": "RUNNING",
        "jobs_count_per_status": {"RUNNING": 1, "DONE": 1},
    }


async def test_a_list_has_the_keys_of_the_contract_and_of_the_page(
    client, required_keys, page_examples
):
    body = (await client.get("/api/v1/batches")).json()

    SuccessPage[BatchListItem].model_validate(body)
    (row,) = body["data"]
    assert row.keys() == required_keys("BatchListItem")
    # The example leaves out what is null.
    assert {key for key, value in row.items() if value is not None} == page_examples[
        "list_batches"
    ].keys()


async def test_a_list_without_parameters_asks_for_the_newest_hundred(client, services):
    await client.get("/api/v1/batches")

    assert services.last.request == batch.ListBatchesRequest(
        filter=batch_pb2.BatchFilter(),
        page=paging_pb2.Page(
            size=100, order_by="created_at", direction=paging_pb2.SORT_DIRECTION_DESC
        ),
    )


async def test_every_filter_reaches_the_service(client, services):
    query = httpx.QueryParams(
        [
            ("id", BATCH.upper()),
            ("id", JOB.replace("-", "")),
            ("id__starts_with", "0000"),
            ("project_id", PROJECT),
            ("user_id", "auth0|ünï"),
            ("user_id", "b"),
            ("device_type", "EMU_FREE"),
            ("status", "DONE"),
            ("status", "TIMED_OUT"),
            ("open", "False"),
            ("min_jobs", "1"),
            ("max_jobs", "9"),
            ("start_date", "2025-01-01T00:00:00"),
            ("end_date", "2025-01-01T02:00:00.000001+02:00"),
            ("queue_priority", "CRITICAL"),
            ("queue_priority", "FREE"),
            ("tag", "a b&c"),
            ("limit", "7"),
            ("offset", "30"),
            ("order_by", "updated_at"),
            ("order_by_direction", "ASC"),
            ("unknown", "is ignored"),
        ]
    )

    assert (await client.get("/api/v1/batches", params=query)).status_code == 200

    wanted = batch_pb2.BatchFilter(
        ids=[BATCH, JOB],
        id_prefix="0000",
        project_ids=[PROJECT],
        user_ids=["auth0|ünï", "b"],
        device_types=["EMU_FREE"],
        statuses=[batch_pb2.BATCH_STATUS_DONE, batch_pb2.BATCH_STATUS_TIMED_OUT],
        open=False,
        min_jobs=1,
        max_jobs=9,
        queue_priorities=[batch_pb2.QUEUE_PRIORITY_CRITICAL, batch_pb2.QUEUE_PRIORITY_FREE],
        tag="a b&c",
    )
    wanted.start_time.FromJsonString("2025-01-01T00:00:00Z")
    wanted.end_time.FromJsonString("2025-01-01T00:00:00.000001Z")
    assert services.last.request == batch.ListBatchesRequest(
        filter=wanted,
        page=paging_pb2.Page(
            size=7, skip=30, order_by="updated_at", direction=paging_pb2.SORT_DIRECTION_ASC
        ),
    )


@pytest.mark.parametrize(
    ("query", "open_"),
    [("complete=True", False), ("complete=false", True), ("open=TRUE&complete=False", True)],
)
async def test_complete_is_the_inverse_of_open_in_queries(client, services, query, open_):
    assert (await client.get(f"/api/v1/batches?{query}")).status_code == 200
    assert services.last.request.filter.open is open_


@pytest.mark.parametrize(
    ("offset", "rows", "total", "pagination", "content_range"),
    [
        (0, 1, 1, {"total": 1, "start": 0, "end": 1}, "1-1/1"),
        (100, 50, 150, {"total": 150, "start": 100, "end": 150}, "101-150/150"),
        (0, 0, 0, {"total": 0, "start": 0, "end": 0}, "*/0"),
        (500, 0, 3, {"total": 3, "start": 500, "end": 500}, "*/3"),
    ],
)
async def test_pages_say_which_part_they_are(
    client, services, make_batch, offset, rows, total, pagination, content_range
):
    services.answers["ListBatches"] = batch.ListBatchesResponse(
        batches=[make_batch()] * rows, total_size=total
    )

    response = await client.get("/api/v1/batches", params={"offset": offset})

    assert response.json()["pagination"] == pagination
    assert len(response.json()["data"]) == rows
    assert response.headers["content-range"] == content_range
    assert response.headers["access-control-expose-headers"] == "Content-Range"


async def test_create_batch_answers_all_keys_of_the_contract_and_of_the_page(
    client, required_keys, page_examples
):
    body = {"project_id": PROJECT, "sequence_builder": "<sequence>", "jobs": [{"runs": 100}]}

    response = await client.post("/api/v1/batches", json=body)

    assert response.status_code == 200
    answer = response.json()
    Success[BatchWithJobs].model_validate(answer)
    data = answer["data"]
    assert data.keys() == required_keys("BatchWithJobs")
    example = page_examples["create_batch"]
    assert {key for key, value in data.items() if value is not None} == example.keys()
    (job,) = data["jobs"]
    assert job.keys() == required_keys("JobPartialV1")
    assert {key for key, value in job.items() if value is not None} == {
        *example["jobs"][0],
        "errors",  # a list without items rather than null
    }
    assert job["variables"] == {"omega": 5}


async def test_create_batch_passes_everything_on(client, services):
    body = {
        "project_id": PROJECT.replace("-", "").upper(),
        "sequence_builder": "<sequence>",
        "jobs": [
            {"runs": 100, "variables": {"omega": 5, "delta": 5.0, "ts": [200, 500.25]}},
            {"runs": None, "variables": None, "sequence": "<own>"},
            {},
        ],
        "open": True,
        "device_type": "EMU_FREE",
        "backend_configuration": '{"autosave_dt": Infinity}',
        "configuration": {"with_noise": True, "dt": 0.1},
        "tags": ["a", "b"],
        "webhook": "https://example.org/hook",
        "priority": 5,
        "sequence": "old key",
        "made_up": {},
    }

    assert (await client.post("/api/v1/batches", json=body)).status_code == 200

    assert services.last.request == batch.CreateBatchRequest(
        project_id=PROJECT,
        sequence="<sequence>",
        jobs=[
            batch_pb2.NewJob(runs=100, variables_json='{"omega":5,"delta":5.0,"ts":[200,500.25]}'),
            batch_pb2.NewJob(sequence="<own>"),
            batch_pb2.NewJob(),
        ],
        open=True,
        device_type="EMU_FREE",
        backend_configuration='{"autosave_dt": Infinity}',
        configuration_json='{"with_noise":true,"dt":0.1}',
        tags=["a", "b"],
        webhook="https://example.org/hook",
    )


async def test_what_a_client_leaves_out_or_sends_as_null_is_not_set(client, services):
    nothing = dict.fromkeys(
        (
            "sequence_builder",
            "jobs",
            "open",
            "complete",
            "device_type",
            "emulator",
            "backend_configuration",
            "configuration",
            "tags",
            "webhook",
        )
    )

    for body in ({}, nothing):
        await client.post("/api/v1/batches", json={"project_id": PROJECT, **body})
        assert services.last.request == batch.CreateBatchRequest(project_id=PROJECT)


@pytest.mark.parametrize(
    ("given", "open_"),
    [
        ({}, False),
        ({"open": True}, True),
        ({"complete": False}, True),
        ({"complete": True}, False),
        ({"open": True, "complete": False}, True),
        ({"open": False, "complete": None}, False),
    ],
)
async def test_complete_is_the_inverse_of_open_in_bodies(client, services, given, open_):
    await client.post("/api/v1/batches", json={"project_id": PROJECT, **given})
    assert services.last.request.open is open_


@pytest.mark.parametrize(
    "given",
    [
        {"emulator": "EMU_FREE"},
        {"emulator": "EMU_FREE", "device_type": "EMU_FREE"},
        {"emulator": None, "device_type": "EMU_FREE"},
    ],
)
async def test_emulator_is_the_old_name_of_device_type(client, services, given):
    await client.post("/api/v1/batches", json={"project_id": PROJECT, **given})
    assert services.last.request.device_type == "EMU_FREE"


async def test_a_gzip_body_without_a_json_content_type_is_read(client, services):
    body = gzip.compress(json.dumps({"project_id": PROJECT, "tags": ["zipped"]}).encode())

    response = await client.post(
        "/api/v1/batches", content=body, headers={"Content-Encoding": "gzip"}
    )

    assert response.status_code == 200
    assert services.last.request.tags == ["zipped"]


async def test_ten_thousand_jobs_go_through(client, services, make_batch, make_job):
    services.answers["CreateBatch"] = lambda request: batch.CreateBatchResponse(
        batch=make_batch(jobs_count=len(request.jobs)),
        jobs=[
            make_job(creation_order=rank, variables_json=job.variables_json)
            for rank, job in enumerate(request.jobs)
        ],
    )
    jobs = [{"runs": 1, "variables": {"x": rank}} for rank in range(10_000)]

    response = await client.post("/api/v1/batches", json={"project_id": PROJECT, "jobs": jobs})

    answered = response.json()["data"]["jobs"]
    assert [job["variables"]["x"] for job in answered] == list(range(10_000))


@pytest.mark.parametrize("prefix", ["", "/core-fast"])
@pytest.mark.parametrize(
    "path", [f"/api/v2/batches/{BATCH}", f"/api/v1/batches/{BATCH}/status", "/api/v1/batches"]
)
async def test_paths_are_served_under_both_prefixes(client, prefix, path):
    assert (await client.get(prefix + path)).status_code == 200
