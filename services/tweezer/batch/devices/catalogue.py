"""Reads the catalogue: `<DEVICE_TYPE>.json` is Pulser's device, `<DEVICE_TYPE>.toml` our facts."""

import importlib.util
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
    exclusive: bool
    """Whether it runs one batch at a time, as a QPU does."""
    strict: bool
    """Whether sequences must be for this device, and obey the rules of a QPU."""
    max_atoms: int | None
    emulated_atoms: int | None
    """Largest register that is emulated for it; None when all that it takes are."""
    max_runs: int | None
    """Most shots of a job; None when the settings alone say."""
    accepted_devices: frozenset[str]
    """Names of the devices that sequences may be for; empty when they may be for any."""
    channels: tuple[str, ...]
    allowed_result_types: tuple[str, ...]
    default_result_types: tuple[str, ...]
    sequence_devices: frozenset[str]
    """Names of the devices in sequences that mean this one when a batch names no device type."""
    specs: str
    """The device in Pulser's abstract representation."""

    @property
    def atom_limit(self) -> int | None:
        """Largest register that can be run; None when there is no limit."""
        limits = [n for n in (self.max_atoms, self.emulated_atoms) if n is not None]
        return min(limits, default=None)


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


def read_catalogue(atom_limits: Mapping[str, int], *folders: Path) -> Catalogue:
    """Reads the device files that are shipped and those of more folders.

    A later folder overrides what an earlier one says of a device; `atom_limits` prevail over both.
    """
    files = {f.stem: f for folder in (FOLDER, *folders) for f in folder.glob("*.json")}
    return Catalogue({name: _read(files[name], atom_limits.get(name)) for name in sorted(files)})


def _read(file: Path, atom_limit: int | None) -> Device:
    device_type = file.stem
    specs: dict[str, Any] = orjson.loads(file.read_bytes())
    facts = tomllib.loads(file.with_suffix(".toml").read_text())
    emulated_atoms = facts.get("emulated_atoms")
    if atom_limit is not None and emulated_atoms is not None:
        emulated_atoms = atom_limit  # the device stays what it is
    elif atom_limit is not None:
        specs["max_atom_num"] = atom_limit
    availability, message = Availability(facts["availability"]), facts.get("status_message")
    required = facts.get("requires")
    if required is not None and importlib.util.find_spec(required) is None:
        availability = Availability.INACTIVE
        message = f"{required.replace('_', '-')} is not installed"
    names = (device_type, specs["name"])
    return Device(
        id=str(uuid.uuid5(_DEVICE_IDS, device_type)),
        device_type=device_type,
        status=facts["status"] if availability is Availability.ACTIVE else "DOWN",
        status_message=message,
        description=facts["description"],
        availability=availability,
        public=facts["public"],
        is_emulator=facts["is_emulator"],
        exclusive=facts["exclusive"],
        strict=facts["strict"],
        max_atoms=specs.get("max_atom_num"),
        emulated_atoms=emulated_atoms,
        max_runs=specs.get("max_runs"),
        accepted_devices=(
            frozenset((*names, *facts.get("accepted_devices", ())))
            if facts["strict"]
            else frozenset()
        ),
        channels=tuple(channel["id"] for channel in specs["channels"]),
        allowed_result_types=tuple(facts["allowed_result_types"]),
        default_result_types=tuple(facts["default_result_types"]),
        sequence_devices=frozenset((*names, *facts["sequence_devices"])),
        specs=orjson.dumps(specs).decode(),
    )
