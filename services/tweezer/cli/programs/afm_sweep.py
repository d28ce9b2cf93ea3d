"""Antiferromagnetic order on a 3x3 square: nine atoms, one detuning sweep, several ends.

The atoms start in the ground state. The laser is switched on far below resonance, swept up to a
final detuning and switched off. The further the sweep goes, the more atoms want to be in the
Rydberg state; neighbours hinder each other, so that a checkerboard grows.
"""

import math
from collections.abc import Mapping
from typing import Any, Final

from pulser import Pulse, Register, Sequence
from pulser.devices import AnalogDevice
from pulser.waveforms import RampWaveform

from tweezer.cli.programs.program import DemoJob, Program

SIDE: Final = 3
SPACING: Final = 6.0
"""Distance of neighbours, in micrometres: within the blockade radius; diagonals are outside."""

_MHZ: Final = 2 * math.pi
_OMEGA: Final = 1.0 * _MHZ
_START: Final = -2.0 * _MHZ
_ENDS_IN_MHZ: Final = (-1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0)
_RAMP, _SWEEP = 300, 2400

CHECKERBOARD: Final = "101010101"
"""The perfectly ordered state: five atoms excited, none of them neighbours."""


def sequence() -> Sequence[Any]:
    """Builds the sweep; its end is the variable `final_detuning`, in rad/us."""
    register = Register.square(SIDE, spacing=SPACING, prefix="q")
    sequence = Sequence(register.with_automatic_layout(AnalogDevice), AnalogDevice)
    end = sequence.declare_variable("final_detuning")
    sequence.declare_channel("rydberg", "rydberg_global")
    rise = Pulse.ConstantDetuning(RampWaveform(_RAMP, 0.0, _OMEGA), _START, 0.0)
    sweep = Pulse.ConstantAmplitude(_OMEGA, RampWaveform(_SWEEP, _START, end), 0.0)
    fall = Pulse.ConstantDetuning(RampWaveform(_RAMP, _OMEGA, 0.0), end, 0.0)
    for pulse in (rise, sweep, fall):
        sequence.add(pulse, "rydberg")
    sequence.measure("ground-rydberg")
    return sequence


def program(runs: int = 1000) -> Program:
    """Returns the batch: one job per final detuning."""
    return Program(
        title="Antiferromagnetic order on a 3x3 square",
        sequence=sequence().to_abstract_repr(),
        jobs=tuple(
            DemoJob(f"{end:+.1f} MHz", runs, {"final_detuning": end * _MHZ}) for end in _ENDS_IN_MHZ
        ),
    )


def staggered_magnetisation(counter: Mapping[str, int]) -> float:
    """Returns how well neighbours differ: 1 for a checkerboard, about 0.25 for random atoms.

    Each shot gives the mean over the atoms of +1 or -1, an excited atom on a black field and one
    in the ground state on a white field counting alike; both checkerboards count as order.
    """
    shots = sum(counter.values())
    return sum(n * abs(_imbalance(bits)) for bits, n in counter.items()) / shots


def _imbalance(bits: str) -> float:
    signs = (1 if (site % SIDE + site // SIDE) % 2 == 0 else -1 for site in range(len(bits)))
    spins = (1 if bit == "1" else -1 for bit in bits)
    return sum(sign * spin for sign, spin in zip(signs, spins, strict=True)) / len(bits)
