"""Devices."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Protocol

from fastapi import APIRouter, Path, Request, Response

from tweezer.gateway import jsend
from tweezer.gateway.calls import backend_of, call
from tweezer.gateway.convert import batches, devices
from tweezer.gateway.convert.paging import slice_of
from tweezer.gateway.documentation import bearer, errors, query
from tweezer.gateway.query_string import read_query
from tweezer.gateway.schemas.answers import BatchQueueItem, DeviceSpecs
from tweezer.gateway.schemas.answers import Device as DeviceAnswer
from tweezer.gateway.schemas.envelopes import Success, SuccessPage
from tweezer.gateway.schemas.queries import DeviceQuery, PublicDeviceQuery, SliceQuery
from tweezer.v1.device_pb2 import Device
from tweezer.v1.device_service_pb2 import (
    GetDeviceRequest,
    ListDevicesRequest,
    ListPublicDevicesRequest,
    ListQueueRequest,
)
from tweezer.v1.paging_pb2 import Page

router = APIRouter(tags=["devices"])


@router.get(
    "/api/v1/devices/specs",
    summary="Get the specifications of the caller's devices",
    response_model=Success[dict[str, str]],
    responses=errors(401),
    openapi_extra=bearer(),
)
async def get_specs(request: Request) -> Response:
    """Returns Pulser's abstract representation of each device that the caller may use."""
    return jsend.success(devices.specs_map(await every_device(request)))


@router.get(
    "/api/v1/devices/public-specs",
    summary="Get the specifications of the public devices",
    response_model=Success[list[DeviceSpecs]],
    responses=errors(),
)
async def get_public_specs(request: Request) -> Response:
    """Returns Pulser's abstract representation of each device that anybody may see."""
    stub = backend_of(request).stubs.devices
    found = await _every(
        lambda page: call(request, stub.ListPublicDevices, ListPublicDevicesRequest(page=page))
    )
    return jsend.success(devices.specs_list(found))


@router.get(
    "/api/v1/devices/specs/{device_type}",
    summary="Get the specifications of a device",
    response_model=Success[DeviceSpecs],
    responses=errors(401, 404, 422),
    openapi_extra=bearer(),
)
async def get_device_specs(
    request: Request, device_type: Annotated[str, Path(description="Type name of the device.")]
) -> Response:
    """Returns Pulser's abstract representation of a device."""
    stub = backend_of(request).stubs.devices
    response = await call(request, stub.GetDevice, GetDeviceRequest(device_type=device_type))
    return jsend.success(devices.specs(response.device))


@router.get(
    "/api/v2/devices",
    summary="List the caller's devices",
    response_model=SuccessPage[DeviceAnswer],
    responses=errors(401, 422),
    openapi_extra=bearer(**query(DeviceQuery)),
)
async def list_devices(request: Request) -> Response:
    """Returns one page of the devices that the caller may use."""
    wanted = read_query(request, DeviceQuery)
    stub = backend_of(request).stubs.devices
    response = await call(request, stub.ListDevices, devices.list_request(wanted))
    rows = [devices.device(device) for device in response.devices]
    return jsend.page(rows, wanted.offset, response.total_size)


@router.get(
    "/api/v1/devices",
    summary="List the public devices",
    response_model=SuccessPage[DeviceAnswer],
    responses=errors(422),
    openapi_extra=query(PublicDeviceQuery),
)
async def list_public_devices(request: Request) -> Response:
    """Returns one page of the devices that anybody may see. Needs no token."""
    wanted = read_query(request, PublicDeviceQuery)
    stub = backend_of(request).stubs.devices
    response = await call(request, stub.ListPublicDevices, devices.list_public_request(wanted))
    rows = [devices.device(device) for device in response.devices]
    return jsend.page(rows, wanted.offset, response.total_size)


@router.get(
    "/api/v1/devices/{dt_name}/queue",
    summary="List the queue of a device",
    response_model=SuccessPage[BatchQueueItem],
    responses=errors(401, 404, 422),
    openapi_extra=bearer(**query(SliceQuery)),
)
async def list_queue(
    request: Request, dt_name: Annotated[str, Path(description="Type name of the device.")]
) -> Response:
    """Returns one page of the caller's batches that wait for a device or run on it, next first."""
    wanted = read_query(request, SliceQuery)
    stub = backend_of(request).stubs.devices
    message = ListQueueRequest(device_type=dt_name, page=slice_of(wanted))
    response = await call(request, stub.ListQueue, message)
    rows = [batches.queue_item(batch) for batch in response.batches]
    return jsend.page(rows, wanted.offset, response.total_size)


async def every_device(request: Request) -> list[Device]:
    """Returns all devices that the caller may use."""
    stub = backend_of(request).stubs.devices
    return await _every(lambda page: call(request, stub.ListDevices, ListDevicesRequest(page=page)))


class _DevicePage(Protocol):
    @property
    def devices(self) -> Sequence[Device]: ...
    @property
    def total_size(self) -> int: ...


async def _every(ask: Callable[[Page], Awaitable[_DevicePage]]) -> list[Device]:
    """Returns the devices of all pages; there are rarely more than fit on one."""
    found: list[Device] = []
    while True:
        page = await ask(Page(skip=len(found)))
        found.extend(page.devices)
        if not page.devices or len(found) >= page.total_size:
            return found
