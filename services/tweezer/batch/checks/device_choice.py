"""Finds the device of a batch."""

from collections.abc import Iterable
from typing import Final

from tweezer.batch.devices.catalogue import Availability, Catalogue, Device
from tweezer.rpc.errors import InvalidInput

FIELD: Final = "device_type"

#: Longest name that is repeated in a message, in characters.
_LONGEST_NAME: Final = 64


def device_of_type(catalogue: Catalogue, device_type: str) -> Device:
    """Returns the device that a batch names, or raises InvalidInput."""
    device = catalogue.find(device_type)
    if device is None:
        raise InvalidInput(FIELD, f"{_quoted(device_type)} is not one of {_known(catalogue)}")
    return _available(device)


def device_of_sequences(catalogue: Catalogue, sequence_devices: Iterable[str]) -> Device:
    """Returns the device that the sequences of a batch stand for, or raises InvalidInput."""
    names = set(sequence_devices)
    if not names:
        raise InvalidInput(FIELD, "is needed when there is no sequence to take it from")
    if len(names) > 1:
        raise InvalidInput(FIELD, "is needed when the sequences are for several devices")
    (name,) = names
    device = catalogue.meant_by(name)
    if device is None:
        raise InvalidInput(
            FIELD,
            f"is needed, because the device of the sequence, {_quoted(name)}, "
            f"is not one of {_known(catalogue)}",
        )
    return _available(device)


def _available(device: Device) -> Device:
    if device.availability is not Availability.ACTIVE:
        why = f": {device.status_message}" if device.status_message else ""
        raise InvalidInput(FIELD, f"{device.device_type} takes no batches{why}")
    return device


def _known(catalogue: Catalogue) -> str:
    return ", ".join(catalogue.device_types)


def _quoted(name: str) -> str:
    return repr(name[:_LONGEST_NAME])
