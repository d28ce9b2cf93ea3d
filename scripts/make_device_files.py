"""Writes the device files of the catalogue, `services/tweezer/batch/devices/*.json`, with Pulser.

Run it again after a change of Pulser's format: `python scripts/make_device_files.py`.

The QPU-like devices stand in for real ones, so that programs for them can be rehearsed. They are
Pulser's own AnalogDevice under another name. Their noise is of a size that is typical of
neutral-atom machines; it is not calibration data of any machine. It holds only what differs from
shot to shot (preparation, detection, motion, laser amplitude): such noise is emulated by state
vectors, while decay and dephasing would need density matrices, and with them far smaller registers.
"""

import dataclasses
import json
from pathlib import Path

import pulser
from pulser.devices import AnalogDevice, Device, MockDevice, VirtualDevice
from pulser.register.special_layouts import TriangularLatticeLayout

FOLDER = Path(__file__).parent.parent / "services" / "tweezer" / "batch" / "devices"

#: Typical values, not calibration data: see above.
TYPICAL_NOISE = pulser.NoiseModel(
    state_prep_error=0.005,
    p_false_pos=0.01,
    p_false_neg=0.03,
    temperature=30.0,  # microkelvin
    amp_sigma=0.02,
)

#: Traps in which registers are defined; 61 is what AnalogDevice has.
LAYOUT = TriangularLatticeLayout(61, 5.0)


def qpu(name: str) -> Device:
    """Returns a device with the rules of a QPU."""
    return dataclasses.replace(
        AnalogDevice,
        name=name,
        max_runs=2000,
        max_sequence_duration=6000,
        requires_layout=True,
        accepts_new_layouts=True,
        pre_calibrated_layouts=(LAYOUT,),
        noise_model=TYPICAL_NOISE,
        short_description="Stands in for a QPU; its noise is typical, not calibrated.",
    )


def emulator(name: str, max_atoms: int) -> VirtualDevice:
    """Returns a device without the limits of hardware."""
    return dataclasses.replace(MockDevice, name=name, max_atom_num=max_atoms)


def devices() -> list[Device | VirtualDevice]:
    """Returns the devices that are shipped."""
    return [
        emulator("EMU_FREE", 16),
        emulator("EMU_SV", 25),
        emulator("EMU_MPS", 80),
        dataclasses.replace(qpu("FRESNEL").to_virtual(), name="EMU_FRESNEL"),
        qpu("FRESNEL"),
        qpu("FRESNEL_CAN1"),
    ]


def main() -> None:
    """Writes a file for each device."""
    for device in devices():
        content = json.loads(device.to_abstract_repr())
        (FOLDER / f"{device.name}.json").write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
