"""Devices."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from fastapi import APIRouter, Request, Response

from tweezer.gateway import jsend
from tweezer.gateway.calls import backend_of, call
from tweezer.gateway.convert import devices
from tweezer.gateway.documentation import bearer, errors
from tweezer.gateway.schemas.answers import DeviceSpecs
from tweezer.gateway.schemas.envelopes import Success
from tweezer.v1.device_pb2 import Device
from tweezer.v1.device_service_pb2 import ListDevicesRequest, ListPublicDevicesRequest
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
    stub = backend_of(request).stubs.devices
    found = await _every(
        lambda page: call(request, stub.ListDevices, ListDevicesRequest(page=page))
    )
    return jsend.success(devices.specs_map(found))


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
