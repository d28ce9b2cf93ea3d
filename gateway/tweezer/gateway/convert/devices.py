"""Devices: protobuf to what the API answers."""

from collections.abc import Iterable

from tweezer.v1.device_pb2 import Device


def specs_list(devices: Iterable[Device]) -> list[dict[str, str]]:
    """Returns the specifications one by one."""
    return [{"device_type": device.device_type, "specs": device.specs} for device in devices]


def specs_map(devices: Iterable[Device]) -> dict[str, str]:
    """Returns the specifications by device type."""
    return {device.device_type: device.specs for device in devices}
