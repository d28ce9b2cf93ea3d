"""Devices: checked input to requests, and protobuf to what the API answers."""

from collections.abc import Iterable
from typing import Any

from tweezer.gateway.convert import words
from tweezer.gateway.convert.paging import page_of
from tweezer.gateway.schemas.queries import DeviceQuery, PublicDeviceQuery
from tweezer.v1.device_pb2 import Device, DeviceAvailability, DeviceFilter
from tweezer.v1.device_service_pb2 import ListDevicesRequest, ListPublicDevicesRequest


def list_request(query: DeviceQuery) -> ListDevicesRequest:
    """Returns the request that lists the caller's devices."""
    return ListDevicesRequest(filter=_filter(query), page=page_of(query))


def list_public_request(query: PublicDeviceQuery) -> ListPublicDevicesRequest:
    """Returns the request that lists the devices that anybody may see."""
    return ListPublicDevicesRequest(filter=_filter(query), page=page_of(query))


def _filter(query: DeviceQuery) -> DeviceFilter:
    return DeviceFilter(
        device_types=query.device_type,
        availabilities=[words.DEVICE_AVAILABILITY_OF[word] for word in query.availability],
        public=query.public,
    )


def device(device: Device) -> dict[str, Any]:
    """Returns a device as lists show it."""
    return {
        "id": device.id,
        "name": device.device_type,
        "device_type": device.device_type,
        "status": device.status,
        "average_queue_time": device.average_queue_time,
        "max_atom_num": device.max_atom_num if device.HasField("max_atom_num") else None,
        "is_emulator": device.is_emulator,
        "channels": list(device.channels),
        "status_message": device.status_message or None,
        "allowed_result_types": list(device.allowed_result_types),
        "default_result_types": list(device.default_result_types),
        "active": device.availability == DeviceAvailability.DEVICE_AVAILABILITY_ACTIVE,
        "description": device.description or None,
        "bill_usage": device.bill_usage,
        "availability": words.DEVICE_AVAILABILITY[device.availability],
        "has_execution_logs": device.has_execution_logs,
    }


def specs(device: Device) -> dict[str, str]:
    """Returns the specifications of a device."""
    return {"device_type": device.device_type, "specs": device.specs}


def specs_list(devices: Iterable[Device]) -> list[dict[str, str]]:
    """Returns the specifications one by one."""
    return [specs(device) for device in devices]


def specs_map(devices: Iterable[Device]) -> dict[str, str]:
    """Returns the specifications by device type."""
    return {device.device_type: device.specs for device in devices}
