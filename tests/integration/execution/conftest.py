"""Programs, tasks and engines for the tests of the execution service."""

import hashlib
import math
import warnings
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from pulser import (
    AnalogDevice,
    MockDevice,
    Pulse,
    RampWaveform,
    Register,
    Sequence,
)
from pulser.register import RegisterLayout

from tweezer.execution.emulators.task import Limits, Task
from tweezer.execution.engines.local import LocalEngine

MakeTask = Callable[..., Task]


@pytest.fixture
def bell() -> str:
    """Two atoms in each other's blockade: the Bell state (|rg> + |gr>) / sqrt(2)."""
    sequence = Sequence(Register({"a": (0, 0), "b": (5, 0)}), AnalogDevice)
    sequence.declare_channel("ch", "rydberg_global")
    sequence.add(Pulse.ConstantDetuning(RampWaveform(564, 4.0, 3.99), 0, 0), "ch")
    sequence.measure("ground-rydberg")
    return sequence.to_abstract_repr()


@pytest.fixture
def sweep() -> str:
    """Four atoms, an antiferromagnetic sweep; a scalar `omega` and an array `detunings`."""
    sequence = Sequence(Register.rectangle(2, 2, 6.5, prefix="q"), MockDevice)
    sequence.declare_channel("ch", "rydberg_global")
    omega = sequence.declare_variable("omega")
    detunings = sequence.declare_variable("detunings", size=2)
    duration = sequence.declare_variable("duration", dtype=int)
    sweep = RampWaveform(duration, detunings[0], detunings[1])
    sequence.add(Pulse.ConstantAmplitude(omega, sweep, 0), "ch")
    sequence.measure("ground-rydberg")
    return sequence.to_abstract_repr()


@pytest.fixture
def mappable() -> str:
    """Up to three atoms on the traps of a layout; one pulse."""
    layout = RegisterLayout([(0, 0), (5, 0), (30, 0), (0, 30), (40, 40), (60, 0)])
    sequence = Sequence(layout.make_mappable_register(3, prefix="m"), MockDevice)
    sequence.declare_channel("ch", "rydberg_global")
    sequence.add(Pulse.ConstantPulse(250, 6, 0, 0), "ch")
    sequence.measure("ground-rydberg")
    return sequence.to_abstract_repr()


@pytest.fixture
def ring() -> Callable[[int], str]:
    """Any number of atoms on a circle; takes long for twelve and more."""

    def build(atoms: int) -> str:
        angles = [2 * math.pi * i / atoms for i in range(atoms)]
        radius = 3 / math.sin(math.pi / atoms)
        places = [(radius * math.cos(angle), radius * math.sin(angle)) for angle in angles]
        sequence = Sequence(Register.from_coordinates(places, prefix="q"), MockDevice)
        sequence.declare_channel("ch", "rydberg_global")
        sequence.add(Pulse.ConstantAmplitude(5, RampWaveform(3000, -8, 8), 0), "ch")
        sequence.measure("ground-rydberg")
        return sequence.to_abstract_repr()

    return build


@pytest.fixture
def make_task() -> MakeTask:
    def make(sequence: str, device_type: str = "EMU_FREE", **fields: Any) -> Task:
        digest = hashlib.sha256(sequence.encode()).hexdigest()
        return Task(device_type, sequence, digest, **{"limits": Limits(), **fields})

    return make


@pytest.fixture
async def engine() -> AsyncIterator[LocalEngine]:
    async with LocalEngine(2) as engine:
        yield engine


@pytest.fixture
def probes(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Emulators that do to a worker what no emulator should; see `worker_probes.py`."""
    monkeypatch.syspath_prepend(Path(__file__).parent)
    names = ("environment", "sample", "hang", "crash", "chatter", "stuck_in_c", "allocate", "bug")
    return {name.upper(): f"worker_probes:{name}" for name in names}


@pytest.fixture
def probability_of() -> Callable[[Sequence[Any]], dict[str, float]]:
    """Exact probabilities of the bitstrings of a sequence, from Pulser itself."""
    from pulser.backend import StateResult
    from pulser_simulation import QutipBackendV2, QutipConfig

    def probabilities(sequence: Sequence[Any]) -> dict[str, float]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            config = QutipConfig(observables=[StateResult()])
            state = QutipBackendV2(sequence, config=config).run().final_state
            return dict(state.bitstring_probabilities())  # type: ignore[attr-defined]

    return probabilities
