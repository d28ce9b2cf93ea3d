"""The largest independent set of a graph, found by atoms.

Two atoms within the blockade radius cannot both be excited, as two neighbours of a graph cannot
both be in an independent set. A slow sweep to positive detuning excites as many atoms as the
blockade allows: the most frequent bitstring is the answer, if the sweep was slow enough.
"""

import math
from itertools import combinations
from typing import Any, Final

from pulser import Pulse, Register, Sequence
from pulser.devices import AnalogDevice
from pulser.waveforms import InterpolatedWaveform

from tweezer.cli.programs.program import DemoJob, Program

_SPACING: Final = 6.0
_CELLS: Final = ((0, 2), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2), (3, 0), (3, 1))

POSITIONS: Final = tuple((_SPACING * x, _SPACING * y) for x, y in _CELLS)
"""Where the atoms are, in micrometres."""

_MHZ: Final = 2 * math.pi
_OMEGA: Final = 1.0 * _MHZ
_DETUNING: Final = 2.0 * _MHZ
_DURATIONS: Final = (500, 1500, 4000)


def edges() -> list[tuple[int, int]]:
    """Returns the graph: the pairs of atoms that block each other."""
    radius = AnalogDevice.rydberg_blockade_radius(_OMEGA)
    pairs = combinations(range(len(POSITIONS)), 2)
    return [(a, b) for a, b in pairs if math.dist(POSITIONS[a], POSITIONS[b]) < radius]


def solutions() -> list[str]:
    """Returns every maximum independent set as a bitstring, found by trying all sets."""
    links = edges()
    independent = [
        bits
        for bits in (f"{number:0{len(POSITIONS)}b}" for number in range(2 ** len(POSITIONS)))
        if not any(bits[a] == bits[b] == "1" for a, b in links)
    ]
    largest = max(bits.count("1") for bits in independent)
    return [bits for bits in independent if bits.count("1") == largest]


def sequence() -> Sequence[Any]:
    """Builds the sweep; how long it takes is the variable `duration`, in ns."""
    register = Register.from_coordinates(POSITIONS, center=True, prefix="q")
    sequence = Sequence(register.with_automatic_layout(AnalogDevice), AnalogDevice)
    duration = sequence.declare_variable("duration", dtype=int)
    sequence.declare_channel("rydberg", "rydberg_global")
    amplitude = InterpolatedWaveform(duration, [0.0, _OMEGA, 0.0])
    detuning = InterpolatedWaveform(duration, [-_DETUNING, 0.0, _DETUNING])
    sequence.add(Pulse(amplitude, detuning, 0.0), "rydberg")
    sequence.measure("ground-rydberg")
    return sequence


def program(runs: int = 1000) -> Program:
    """Returns the batch: one job per duration of the sweep."""
    return Program(
        title="Maximum independent set of a graph of 8 nodes",
        sequence=sequence().to_abstract_repr(),
        jobs=tuple(
            DemoJob(f"{duration} ns", runs, {"duration": duration}) for duration in _DURATIONS
        ),
    )
