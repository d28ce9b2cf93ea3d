"""The catalogue, as clients read it."""

import time

import grpc
import pytest
from pulser.devices import VirtualDevice
from pulser.json.abstract_repr.deserializer import deserialize_device

from tweezer.database.opening import create_engine_of
from tweezer.database.timestamps import from_timestamp, to_timestamp
from tweezer.identity import store as identity_store
from tweezer.identity.models import QueuePriority as ProjectPriority
from tweezer.internal.v1.progress_service_pb2 import BatchProgress, ReportProgressRequest
from tweezer.v1.batch_pb2 import JobCounts
from tweezer.v1.device_pb2 import DeviceAvailability, DeviceFilter
from tweezer.v1.device_service_pb2 import (
    GetDeviceRequest,
    ListDevicesRequest,
    ListPublicDevicesRequest,
    ListQueueRequest,
)
from tweezer.v1.paging_pb2 import Page

PROJECT = "11111111-1111-4111-8111-111111111111"
OTHER_PROJECT = "22222222-2222-4222-8222-222222222222"


@pytest.fixture
def devices(stubs, user):
    async def call(page=None, **changes):
        return await stubs.devices.ListDevices(
            ListDevicesRequest(filter=DeviceFilter(**changes), page=page), metadata=user.metadata
        )

    return call


async def test_emu_free_is_there(devices):
    response = await devices(device_types=["EMU_FREE"])
    assert response.total_size == 1
    (device,) = response.devices
    assert device.device_type == "EMU_FREE"
    assert device.status == "UP"
    assert device.availability == DeviceAvailability.DEVICE_AVAILABILITY_ACTIVE
    assert (device.is_emulator, device.public, device.max_atom_num) == (True, True, 16)
    assert "rydberg_global" in device.channels
    assert device.allowed_result_types == ["counter"]
    assert (device.average_queue_time, device.HasField("status_message")) == (0, False)
    assert (await devices(device_types=["EMU_FREE"])).devices[0].id == device.id


async def test_pulser_reads_its_specs(devices):
    (listed,) = (await devices(device_types=["EMU_FREE"])).devices
    device = deserialize_device(listed.specs)
    assert isinstance(device, VirtualDevice)
    assert device.name == "EMU_FREE"
    assert device.max_atom_num == 16
    assert set(device.channels) == set(listed.channels)


async def test_anybody_may_see_the_public_ones(stubs, devices):
    response = await stubs.devices.ListPublicDevices(ListPublicDevicesRequest())
    assert list(response.devices) == list((await devices()).devices)
    assert response.total_size == 6


async def test_the_others_need_a_token(stubs):
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await stubs.devices.ListDevices(ListDevicesRequest())
    assert failed.value.code() == grpc.StatusCode.UNAUTHENTICATED


FILTERS = [
    ({"device_types": ["EMU_FREE", "FRESNEL"]}, 2),
    ({"device_types": ["MARS"]}, 0),
    ({"availabilities": [DeviceAvailability.DEVICE_AVAILABILITY_INACTIVE]}, 2),
    ({"availabilities": [DeviceAvailability.DEVICE_AVAILABILITY_RETIRED]}, 0),
    ({"availabilities": [DeviceAvailability.DEVICE_AVAILABILITY_ACTIVE]}, 4),
    ({"public": False}, 0),
    ({"page": Page(skip=5)}, 1),
]


@pytest.mark.parametrize(("changes", "count"), FILTERS)
async def test_filters(devices, changes, count):
    assert len((await devices(**changes)).devices) == count


async def test_the_waiting_time_is_that_of_the_last_hour(stubs, create, devices):
    now = time.time_ns() // 1000
    reports = []
    for waited_s in (10, 20):
        batch = (await create()).batch
        start = from_timestamp(batch.create_time) + waited_s * 1_000_000
        reports.append(started(batch.id, start))
    batch = (await create()).batch  # of a clock that stands wrong: long ago
    reports.append(started(batch.id, now - 2 * 3600 * 1_000_000))
    await stubs.progress.ReportProgress(ReportProgressRequest(reports=reports))
    (device,) = (await devices(device_types=["EMU_FREE"])).devices
    assert device.average_queue_time == 15


def started(batch_id, start):
    return BatchProgress(
        batch_id=batch_id,
        version=1,
        job_counts=JobCounts(running=1),
        start_time=to_timestamp(start),
    )


async def test_the_atom_limit_is_a_setting(place, user):
    async with place.running(device_atom_limits={"EMU_FREE": 20}) as stubs:
        request = GetDeviceRequest(device_type="EMU_FREE")
        device = (await stubs.devices.GetDevice(request, metadata=user.metadata)).device
        assert device.max_atom_num == 20
        assert deserialize_device(device.specs).max_atom_num == 20


async def test_one_device_by_its_type(stubs, user, devices):
    for listed in (await devices()).devices:
        response = await stubs.devices.GetDevice(
            GetDeviceRequest(device_type=listed.device_type), metadata=user.metadata
        )
        assert response.device == listed
    for call in (
        stubs.devices.GetDevice(GetDeviceRequest(device_type="MARS"), metadata=user.metadata),
        stubs.devices.ListQueue(ListQueueRequest(device_type="MARS"), metadata=user.metadata),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await call
        assert failed.value.code() == grpc.StatusCode.NOT_FOUND
        assert failed.value.details() == "device MARS not found"


async def test_the_queue_is_in_the_order_of_service(stubs, user, create, place):
    def urgent(connection):
        identity_store.add_project(
            connection, "urgent", 0, ProjectPriority.CRITICAL, project_id=OTHER_PROJECT
        )

    engine = create_engine_of(place.settings.identity_database)
    with engine.begin() as connection:
        urgent(connection)
    engine.dispose()
    both = place.user(PROJECT, OTHER_PROJECT)
    first, final, second = [(await create()).batch.id for _ in range(3)]
    critical = (await create(by=both, project_id=OTHER_PROJECT)).batch.id
    done = BatchProgress(batch_id=final, version=1, job_counts=JobCounts(done=1))
    reports = [started(second, 1), done]
    await stubs.progress.ReportProgress(ReportProgressRequest(reports=reports))

    async def queue(by, **page):
        request = ListQueueRequest(device_type="EMU_FREE", page=Page(**page))
        response = await stubs.devices.ListQueue(request, metadata=by.metadata)
        return [batch.id for batch in response.batches], response.total_size

    assert await queue(both) == ([critical, first, second], 3)
    assert await queue(user) == ([first, second], 2)
    assert await queue(both, size=1, skip=1) == ([first], 3)
    request = ListQueueRequest(device_type="FRESNEL")
    response = await stubs.devices.ListQueue(request, metadata=both.metadata)
    assert (list(response.batches), response.total_size) == ([], 0)
