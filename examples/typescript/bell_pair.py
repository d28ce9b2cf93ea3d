"""Prints the sequence of this example: two atoms that entangle, or do not.

python bell_pair.py > bell_pair.json

The atoms are closer than the blockade radius, so at most one of them can be excited. A pulse of
area pi / sqrt(2) puts them into a Bell state of 01 and 10, twice that area brings them back to 00.
"""

from typing import Any

from pulser import Pulse, Register, Sequence
from pulser.devices import AnalogDevice
from pulser.waveforms import BlackmanWaveform


def sequence() -> Sequence[Any]:
    """Builds one pulse on two atoms; its area is the variable `area`."""
    register = Register.from_coordinates([(0, 0), (6, 0)], prefix="q")
    sequence = Sequence(register.with_automatic_layout(AnalogDevice), AnalogDevice)
    area = sequence.declare_variable("area")
    sequence.declare_channel("rydberg", "rydberg_global")
    sequence.add(Pulse.ConstantDetuning(BlackmanWaveform(1000, area), 0.0, 0.0), "rydberg")
    sequence.measure("ground-rydberg")
    return sequence


if __name__ == "__main__":
    print(sequence().to_abstract_repr())
