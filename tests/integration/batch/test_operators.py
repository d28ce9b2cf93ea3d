"""Operators hold batches and devices back, and nobody else does."""

import asyncio

import grpc
import pytest

from tweezer.internal.v1.progress_service_pb2 import BatchProgress, ReportProgressRequest
from tweezer.v1.batch_pb2 import BatchStatus, JobCounts
from tweezer.v1.device_pb2 import DeviceAvailability
from tweezer.v1.device_service_pb2 import GetDeviceRequest
from tweezer.v1.operator_service_pb2 import (
    PauseBatchRequest,
    PauseDeviceRequest,
    ResumeBatchRequest,
    ResumeDeviceRequest,
)

OTHER_PROJECT = "22222222-2222-4222-8222-222222222222"


@pytest.fixture
def operator(place):
    """Who runs the place, and belongs to none of the projects of the batches."""
    return place.operator(OTHER_PROJECT)


async def refusal(code, call):
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call
    assert failed.value.code() == code, failed.value.details()
    return failed.value.details()


async def next_pauses(place):
    return await asyncio.wait_for(place.queue.pauses.get(), 60)


async def test_a_batch_is_held_back_and_goes_on(place, stubs, operator, create):
    batch_id = (await create()).batch.id
    request = PauseBatchRequest(batch_id=batch_id)
    for _ in range(2):  # a second time changes nothing
        paused = await stubs.operators.PauseBatch(request, metadata=operator.metadata)
        assert paused.batch.status == BatchStatus.BATCH_STATUS_PAUSED
    intent = await place.queue.next_intent()
    while not intent.paused:
        intent = await place.queue.next_intent()
    assert intent.batch_id == batch_id
    resumed = await stubs.operators.ResumeBatch(
        ResumeBatchRequest(batch_id=batch_id), metadata=operator.metadata
    )
    assert resumed.batch.status == BatchStatus.BATCH_STATUS_PENDING
    while intent.paused:  # the loop may have told it too
        intent = await place.queue.next_intent()
    assert intent.batch_id == batch_id


async def test_a_final_batch_is_not_paused(stubs, operator, create):
    batch_id = (await create()).batch.id
    progress = BatchProgress(batch_id=batch_id, version=1, job_counts=JobCounts(done=1))
    await stubs.progress.ReportProgress(ReportProgressRequest(reports=[progress]))
    call = stubs.operators.PauseBatch(
        PauseBatchRequest(batch_id=batch_id), metadata=operator.metadata
    )
    details = await refusal(grpc.StatusCode.FAILED_PRECONDITION, call)
    assert details == f"batch {batch_id} is DONE and can no longer be paused"
    call = stubs.operators.PauseBatch(
        PauseBatchRequest(batch_id="nothing"), metadata=operator.metadata
    )
    assert await refusal(grpc.StatusCode.NOT_FOUND, call) == "batch nothing not found"


async def test_a_device_is_held_back_and_goes_on(place, stubs, operator, user):
    assert await next_pauses(place) == set()
    request = PauseDeviceRequest(device_type="EMU_FREE")
    for _ in range(2):
        paused = await stubs.operators.PauseDevice(request, metadata=operator.metadata)
        assert paused.device.status == "PAUSED"
        assert paused.device.availability == DeviceAvailability.DEVICE_AVAILABILITY_ACTIVE
        assert paused.device.status_message == "held back by an operator"
        assert await next_pauses(place) == {"EMU_FREE"}
    shown = await stubs.devices.GetDevice(
        GetDeviceRequest(device_type="EMU_FREE"), metadata=user.metadata
    )
    assert shown.device == paused.device
    resumed = await stubs.operators.ResumeDevice(
        ResumeDeviceRequest(device_type="EMU_FREE"), metadata=operator.metadata
    )
    assert (resumed.device.status, resumed.device.HasField("status_message")) == ("UP", False)
    told = await next_pauses(place)
    while told:
        told = await next_pauses(place)


async def test_a_restart_tells_of_the_pauses_again(place, operator):
    async with place.running() as stubs:
        request = PauseDeviceRequest(device_type="FRESNEL")
        await stubs.operators.PauseDevice(request, metadata=operator.metadata)
    while not place.queue.pauses.empty():
        place.queue.pauses.get_nowait()
    async with place.running():
        assert await next_pauses(place) == {"FRESNEL"}


async def test_a_pause_reaches_job_service_when_it_is_back(place, operator):
    place.queue.refuse_pauses = grpc.StatusCode.UNAVAILABLE
    async with place.running(batch_cancel_wait_s=0.05) as stubs:
        request = PauseDeviceRequest(device_type="FRESNEL")
        paused = await stubs.operators.PauseDevice(request, metadata=operator.metadata)
        assert paused.device.status == "PAUSED"
        place.queue.refuse_pauses = None
        while await next_pauses(place) != {"FRESNEL"}:
            pass  # what was on its way before


async def test_nobody_else_may(place, stubs, user, create):
    batch_id = (await create()).batch.id
    for call in (
        stubs.operators.PauseBatch(PauseBatchRequest(batch_id=batch_id), metadata=user.metadata),
        stubs.operators.ResumeBatch(ResumeBatchRequest(batch_id=batch_id), metadata=user.metadata),
        stubs.operators.PauseDevice(
            PauseDeviceRequest(device_type="EMU_FREE"), metadata=user.metadata
        ),
        stubs.operators.ResumeDevice(
            ResumeDeviceRequest(device_type="EMU_FREE"), metadata=user.metadata
        ),
    ):
        await refusal(grpc.StatusCode.NOT_FOUND, call)
    assert place.rows("SELECT paused FROM batch") == [(0,)]
    assert place.rows("SELECT count(*) FROM device_pause") == [(0,)]


async def test_an_unknown_device(stubs, operator):
    call = stubs.operators.PauseDevice(
        PauseDeviceRequest(device_type="MARS"), metadata=operator.metadata
    )
    assert await refusal(grpc.StatusCode.NOT_FOUND, call) == "device MARS not found"
