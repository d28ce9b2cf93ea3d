"""Reads the catalogue: `<DEVICE_TYPE>.json` is Pulser's device, `<DEVICE_TYPE>.toml` our facts."""

import tomllib
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import orjson

FOLDER: Final = Path(__file__).parent

#: Makes the identifier of a device from its type.
_DEVICE_IDS: Final = uuid.UUID("2a3cbb18-6d0c-4f2b-9d7c-0f6f5f2f3d5e")


class Availability(StrEnum):
    """Whether a device can be targeted."""

    ACTIVE = "ACTIVE"  #: takes batches
    INACTIVE = "INACTIVE"  #: takes none at present
    RETIRED = "RETIRED"  #: will not come back


@dataclass(frozen=True, slots=True)
class Device:
    """Something that batches can run on."""

    id: str
    device_type: str
    status: str
    status_message: str | None
    description: str
    availability: Availability
    public: bool
    is_emulator: bool
    max_atoms: int | None
    channels: tuple[str, ...]
    allowed_result_types: tuple[str, ...]
    default_result_types: tuple[str, ...]
    sequence_devices: frozenset[str]
    """Names of the devices in sequences that mean this one when a batch names no device type."""
    specs: str
    """The device in Pulser's abstract representation."""


class Catalogue:
    """The devices, by type."""

    def __init__(self, devices: Mapping[str, Device]) -> None:
        self._devices = devices

    def __iter__(self) -> Iterator[Device]:
        return iter(self._devices.values())

    @property
    def device_types(self) -> list[str]:
        """The types, sorted."""
        return sorted(self._devices)

    def find(self, device_type: str) -> Device | None:
        """Returns the device of a type."""
        return self._devices.get(device_type)

    def meant_by(self, sequence_device: str) -> Device | None:
        """Returns the device that a sequence for a Pulser device of this name is to run on."""
        return next((d for d in self if sequence_device in d.sequence_devices), None)


def read_catalogue(atom_limits: Mapping[str, int], folder: Path = FOLDER) -> Catalogue:
    """Reads the device files of a folder; `atom_limits` prevail over what they say."""
    files = sorted(folder.glob("*.json"))
    return Catalogue({file.stem: _read(file, atom_limits.get(file.stem)) for file in files})


def _read(file: Path, atom_limit: int | None) -> Device:
    device_type = file.stem
    specs: dict[str, Any] = orjson.loads(file.read_bytes())
    facts = tomllib.loads(file.with_suffix(".toml").read_text())
    if atom_limit is not None:
        specs["max_atom_num"] = atom_limit
    return Device(
        id=str(uuid.uuid5(_DEVICE_IDS, device_type)),
        device_type=device_type,
        status=facts["status"],
        status_message=facts.get("status_message"),
        description=facts["description"],
        availability=Availability(facts["availability"]),
        public=facts["public"],
        is_emulator=facts["is_emulator"],
        max_atoms=specs.get("max_atom_num"),
        channels=tuple(channel["id"] for channel in specs["channels"]),
        allowed_result_types=tuple(facts["allowed_result_types"]),
        default_result_types=tuple(facts["default_result_types"]),
        sequence_devices=frozenset((device_type, specs["name"], *facts["sequence_devices"])),
        specs=orjson.dumps(specs).decode(),
    )
