"""Devices, projects and the state of the system."""

import jwt
import pytest
from grpc_health.v1 import health_pb2

from tweezer.gateway.schemas.answers import (
    Alive,
    AuthInfo,
    BatchQueueItem,
    Device,
    DeviceSpecs,
    Project,
    Readiness,
)
from tweezer.gateway.schemas.envelopes import Success, SuccessPage, Unready
from tweezer.rpc.errors import NotFound, Unauthenticated
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


DEVICE_LISTS = [
    ("/api/v1/devices", device.ListPublicDevicesRequest),
    ("/api/v2/devices", device.ListDevicesRequest),
]


@pytest.mark.parametrize(("path", "kind"), DEVICE_LISTS)
async def test_a_list_of_devices_has_the_keys_of_the_contract(
    client, services, required_keys, path, kind
):
    response = await client.get(path)

    SuccessPage[Device].model_validate(response.json())
    (row,) = response.json()["data"]
    assert row.keys() == required_keys("Device")
    assert row == {
        "id": PROJECT,
        "name": "EMU_FREE",
        "device_type": "EMU_FREE",
        "status": "UP",
        "average_queue_time": 12,
        "max_atom_num": 14,
        "is_emulator": True,
        "channels": ["rydberg_global"],
        "status_message": None,
        "allowed_result_types": ["counter"],
        "default_result_types": ["counter"],
        "active": True,
        "description": "Emulator.",
        "bill_usage": False,
        "availability": "ACTIVE",
        "has_execution_logs": False,
    }
    assert response.headers["content-range"] == "1-1/1"
    assert services.last.request == kind(
        filter=device_pb2.DeviceFilter(),
        page=paging_pb2.Page(
            size=100, order_by="created_at", direction=paging_pb2.SORT_DIRECTION_DESC
        ),
    )


async def test_a_device_that_is_away_says_why(client, services):
    services.answers["ListDevices"] = device.ListDevicesResponse(
        devices=[
            device_pb2.Device(
                id=PROJECT,
                device_type="EMU_MPS",
                status="DOWN",
                status_message="emu-mps is not installed",
                availability=device_pb2.DEVICE_AVAILABILITY_INACTIVE,
            )
        ],
        total_size=1,
    )

    (row,) = (await client.get("/api/v2/devices")).json()["data"]

    assert (row["active"], row["availability"], row["status"]) == (False, "INACTIVE", "DOWN")
    assert row["status_message"] == "emu-mps is not installed"
    assert row["max_atom_num"] is None


@pytest.mark.parametrize(("path", "kind"), DEVICE_LISTS)
async def test_conditions_on_devices_reach_the_service(client, services, path, kind):
    query = (
        "device_type=EMU_FREE&device_type=FRESNEL&availability=ACTIVE&availability=RETIRED"
        "&public=True&limit=7&offset=2&order_by=device_type&order_by_direction=ASC"
        "&include_legacy=False"
    )

    assert (await client.get(f"{path}?{query}")).status_code == 200

    assert services.last.request == kind(
        filter=device_pb2.DeviceFilter(
            device_types=["EMU_FREE", "FRESNEL"],
            availabilities=[
                device_pb2.DEVICE_AVAILABILITY_ACTIVE,
                device_pb2.DEVICE_AVAILABILITY_RETIRED,
            ],
            public=True,
        ),
        page=paging_pb2.Page(
            size=7, skip=2, order_by="device_type", direction=paging_pb2.SORT_DIRECTION_ASC
        ),
    )


async def test_public_devices_need_no_token(client, services):
    del client.headers["Authorization"]

    assert (await client.get("/core-fast/api/v1/devices")).status_code == 200
    assert "authorization" not in services.last.metadata


@pytest.mark.parametrize(
    ("path", "loc"),
    [
        ("/api/v1/devices?availability=GONE", ["availability", 0]),
        ("/api/v2/devices?public=maybe", ["public"]),
        ("/api/v1/devices?include_legacy=7", ["include_legacy"]),
        ("/api/v1/devices/EMU_FREE/queue?limit=101", ["limit"]),
        ("/api/v1/devices/EMU_FREE/queue?offset=-1", ["offset"]),
    ],
)
async def test_bad_conditions_on_devices(client, services, path, loc):
    response = await client.get(path)

    assert response.status_code == 422
    (problem,) = response.json()["data"]["description"]
    assert problem["loc"] == ["query", *loc]
    assert services.calls == []


async def test_specs_of_one_device(client, services, required_keys):
    body = (await client.get("/api/v1/devices/specs/EMU_FREE")).json()

    Success[DeviceSpecs].model_validate(body)
    assert body["data"].keys() == required_keys("DeviceSpecs")
    assert body["data"] == {"device_type": "EMU_FREE", "specs": '{"name":"x"}'}
    assert services.last.request == device.GetDeviceRequest(device_type="EMU_FREE")


@pytest.mark.parametrize(
    ("path", "rpc"),
    [("/api/v1/devices/specs/NONE", "GetDevice"), ("/api/v1/devices/NONE/queue", "ListQueue")],
)
async def test_an_unknown_device_is_not_found(client, services, path, rpc):
    services.answers[rpc] = NotFound("device NONE not found")

    response = await client.get(path)

    assert response.status_code == 404
    assert response.json()["data"] == {"description": "device NONE not found"}


async def test_the_queue_of_a_device(client, services, required_keys):
    response = await client.get("/api/v1/devices/EMU_FREE/queue?limit=7&offset=3")

    SuccessPage[BatchQueueItem].model_validate(response.json())
    (row,) = response.json()["data"]
    assert row.keys() == required_keys("BatchQueueItem")
    assert response.headers["content-range"] == "4-4/1"
    assert services.last.request == device.ListQueueRequest(
        device_type="EMU_FREE", page=paging_pb2.Page(size=7, skip=3)
    )


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


@pytest.mark.parametrize(("claims", "superuser"), [({}, False), ({"operator": True}, True)])
async def test_whom_a_token_speaks_for(client, services, required_keys, claims, superuser):
    token = jwt.encode({"sub": "user-123", **claims}, "k" * 32)

    response = await client.get(
        "/account/api/v1/auth/info", headers={"Authorization": f"Bearer {token}"}
    )

    Success[AuthInfo].model_validate(response.json())
    data = response.json()["data"]
    assert data.keys() >= required_keys("AuthInfo")
    assert data == {
        "id": "user-123",
        "type": "user",
        "superuser": superuser,
        "projects": {PROJECT: "mine"},
        "allowed_device_types": ["EMU_FREE"],
    }


async def test_a_token_that_no_service_takes_speaks_for_nobody(client, services):
    services.answers["ListProjects"] = Unauthenticated("the token is not valid")

    assert (await client.get("/account/api/v1/auth/info")).status_code == 401


async def test_the_gateway_is_there_whatever_the_services_do(client, services, batch_server):
    await batch_server.stop()

    response = await client.get("/health")

    assert response.status_code == 200
    Success[Alive].model_validate(response.json())
    assert services.calls == []


async def test_it_is_ready_when_all_serve(client, services):
    response = await client.get("/ready")

    assert response.status_code == 200
    Success[Readiness].model_validate(response.json())
    assert response.json()["data"] == {"services": {"batch": "SERVING", "job": "SERVING"}}
    assert services.calls == []


async def test_it_is_not_ready_when_one_is_away(client, job_server):
    await job_server.stop()

    response = await client.get("/ready")

    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"
    body = response.json()
    assert body["data"]["services"] == {"batch": "SERVING", "job": "UNAVAILABLE"}
    Unready.model_validate(body)


async def test_it_is_not_ready_when_one_does_not_serve(client, batch_server):
    await batch_server.health.set("", health_pb2.HealthCheckResponse.NOT_SERVING)

    response = await client.get("/ready")

    assert response.status_code == 503
    assert response.json()["data"]["services"] == {"batch": "NOT_SERVING", "job": "SERVING"}


async def test_it_is_not_ready_while_it_stops(client, stopping):
    stopping.set()

    assert (await client.get("/ready")).status_code == 503
    assert (await client.get("/health")).status_code == 200
