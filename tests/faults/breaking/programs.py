"""Sequences for the jobs of the fault tests."""

from functools import cache

from pulser import AnalogDevice, Pulse, RampWaveform, Register, Sequence


@cache
def program() -> str:
    """Returns the program of all jobs: two atoms, some hundredths of a second."""
    sequence = Sequence(Register({"a": (0, 0), "b": (5, 0)}), AnalogDevice)
    sequence.declare_channel("ch", "rydberg_global")
    sequence.add(Pulse.ConstantDetuning(RampWaveform(564, 4.0, 3.99), 0, 0), "ch")
    sequence.measure("ground-rydberg")
    return sequence.to_abstract_repr()


#: Legacy options with which each shot is a trajectory of its own: some hundredths of a second each.
NOISY = {"with_noise": True}
