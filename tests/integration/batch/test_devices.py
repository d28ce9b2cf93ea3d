"""The catalogue, as clients read it."""

import time

import grpc
import pytest
from pulser.devices import VirtualDevice
from pulser.json.abstract_repr.deserializer import deserialize_device

from tweezer.database.timestamps import from_timestamp, to_timestamp
from tweezer.internal.v1.progress_service_pb2 import BatchProgress, ReportProgressRequest
from tweezer.v1.batch_pb2 import JobCounts
from tweezer.v1.device_pb2 import DeviceAvailability, DeviceFilter
from tweezer.v1.device_service_pb2 import ListDevicesRequest, ListPublicDevicesRequest
from tweezer.v1.paging_pb2 import Page


@pytest.fixture
def devices(stubs, user):
    async def call(page=None, **changes):
        return await stubs.devices.ListDevices(
            ListDevicesRequest(filter=DeviceFilter(**changes), page=page), metadata=user.metadata
        )

    return call


async def test_emu_free_is_there(devices):
    response = await devices()
    assert response.total_size == 1
    (device,) = response.devices
    assert device.device_type == "EMU_FREE"
    assert device.status == "UP"
    assert device.availability == DeviceAvailability.DEVICE_AVAILABILITY_ACTIVE
    assert (device.is_emulator, device.public, device.max_atom_num) == (True, True, 16)
    assert "rydberg_global" in device.channels
    assert device.allowed_result_types == ["counter"]
    assert (device.average_queue_time, device.HasField("status_message")) == (0, False)
    assert (await devices()).devices[0].id == device.id


async def test_pulser_reads_its_specs(devices):
    (listed,) = (await devices()).devices
    device = deserialize_device(listed.specs)
    assert isinstance(device, VirtualDevice)
    assert device.name == "EMU_FREE"
    assert device.max_atom_num == 16
    assert set(device.channels) == set(listed.channels)


async def test_anybody_may_see_the_public_ones(stubs, devices):
    response = await stubs.devices.ListPublicDevices(ListPublicDevicesRequest())
    assert list(response.devices) == list((await devices()).devices)
    assert response.total_size == 1


async def test_the_others_need_a_token(stubs):
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await stubs.devices.ListDevices(ListDevicesRequest())
    assert failed.value.code() == grpc.StatusCode.UNAUTHENTICATED


FILTERS = [
    ({"device_types": ["EMU_FREE", "FRESNEL"]}, 1),
    ({"device_types": ["FRESNEL"]}, 0),
    ({"availabilities": [DeviceAvailability.DEVICE_AVAILABILITY_RETIRED]}, 0),
    ({"availabilities": [DeviceAvailability.DEVICE_AVAILABILITY_ACTIVE]}, 1),
    ({"public": False}, 0),
    ({"page": Page(skip=1)}, 0),
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
    assert (await devices()).devices[0].average_queue_time == 15


def started(batch_id, start):
    return BatchProgress(
        batch_id=batch_id,
        version=1,
        job_counts=JobCounts(running=1),
        start_time=to_timestamp(start),
    )


async def test_the_atom_limit_is_a_setting(place, user):
    async with place.running(device_atom_limits={"EMU_FREE": 20}) as stubs:
        response = await stubs.devices.ListDevices(ListDevicesRequest(), metadata=user.metadata)
        (device,) = response.devices
        assert device.max_atom_num == 20
        assert deserialize_device(device.specs).max_atom_num == 20
