"""Devices, projects and the state of the system."""

import pytest
from grpc_health.v1 import health_pb2

from tweezer.gateway.schemas.answers import DeviceSpecs, Health, Project
from tweezer.gateway.schemas.envelopes import Success, Unhealthy
from tweezer.v1 import device_pb2, paging_pb2
from tweezer.v1 import device_service_pb2 as device

PROJECT = "00000000-0000-0000-0000-000000000001"


async def test_specs_are_a_map(client, services):
    body = (await client.get("/api/v1/devices/specs")).json()

    assert body["data"] == {"EMU_FREE": '{"name":"x"}'}
    assert services.last.metadata["authorization"] == "Bearer the-token"
    assert services.last.request == device.ListDevicesRequest(page=paging_pb2.Page())


async def test_public_specs_are_a_list_and_need_no_token(client, services, required_keys):
    del client.headers["Authorization"]

    body = (await client.get("/core-fast/api/v1/devices/public-specs")).json()

    Success[list[DeviceSpecs]].model_validate(body)
    (row,) = body["data"]
    assert row.keys() == required_keys("DeviceSpecs")
    assert services.last.method == "ListPublicDevices"


async def test_specs_of_more_devices_than_fit_on_a_page(client, services):
    every = [device_pb2.Device(device_type=f"D{n}", specs="{}") for n in range(250)]
    services.answers["ListDevices"] = lambda request: device.ListDevicesResponse(
        devices=every[request.page.skip : request.page.skip + 100], total_size=250
    )

    body = (await client.get("/api/v1/devices/specs")).json()

    assert list(body["data"]) == [f"D{n}" for n in range(250)]
    assert len(services.calls) == 3


async def test_there_may_be_no_device(client, services):
    services.answers["ListDevices"] = device.ListDevicesResponse()

    assert (await client.get("/api/v1/devices/specs")).json()["data"] == {}


@pytest.mark.parametrize("prefix", ["", "/account"])
async def test_projects(client, services, required_keys, prefix):
    body = (await client.get(f"{prefix}/api/v1/projects?project_status=ACTIVE")).json()

    Success[list[Project]].model_validate(body)
    (row,) = body["data"]
    assert row.keys() >= required_keys("Project")
    assert row == {
        "id": PROJECT,
        "project_id": PROJECT,
        "name": "mine",
        "project_status": "ACTIVE",
        "queue_priority": "HIGH",
    }
    assert services.last.metadata["authorization"] == "Bearer the-token"


async def test_there_are_no_projects_in_another_state(client):
    assert (await client.get("/api/v1/projects?project_status=CLOSED")).json()["data"] == []


async def test_health_when_all_serve(client, services):
    response = await client.get("/health")

    assert response.status_code == 200
    Success[Health].model_validate(response.json())
    assert response.json()["data"] == {"services": {"batch": "SERVING", "job": "SERVING"}}
    assert services.calls == []


async def test_health_when_one_is_away(client, job_server):
    await job_server.stop()

    response = await client.get("/health")

    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"
    body = response.json()
    assert body["data"]["services"] == {"batch": "SERVING", "job": "UNAVAILABLE"}
    Unhealthy.model_validate(body)


async def test_health_when_one_does_not_serve(client, batch_server):
    await batch_server.health.set("", health_pb2.HealthCheckResponse.NOT_SERVING)

    response = await client.get("/health")

    assert response.status_code == 503
    assert response.json()["data"]["services"] == {"batch": "NOT_SERVING", "job": "SERVING"}
