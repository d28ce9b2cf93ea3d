"""What an emulation is expected to take, against what was measured."""

import resource
from collections.abc import Iterator
from typing import Any

import pytest
from pulser import MockDevice, NoiseModel, Pulse, Register, Sequence
from pulser.backend import BitStrings, Energy
from pulser_simulation import QutipConfig
from pulser_simulation.simulation import Solver

from tweezer.execution.emulators.memory import needed_by, needed_bytes, require_memory
from tweezer.execution.emulators.task import JobError

pytestmark = pytest.mark.filterwarnings("ignore")  # Pulser's advice for people at a prompt

MIB = 2**20


@pytest.fixture
def small_limit() -> Iterator[None]:
    """Lets this process take one GiB more than it has."""
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with open("/proc/self/statm") as statm:
        taken = int(statm.read().split()[5]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_DATA, (taken + 2**30, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_DATA, before)


def a_sequence(atoms: int, *, digital: bool = False) -> Any:
    sequence = Sequence(Register.rectangle(1, atoms, 7.0, prefix="q"), MockDevice)
    sequence.declare_channel("ch", "rydberg_global")
    sequence.add(Pulse.ConstantPulse(1000, 1, 0, 0), "ch")
    if digital:
        sequence.declare_channel("raman", "raman_local", initial_target="q0")
        sequence.add(Pulse.ConstantPulse(1000, 1, 0, 0), "raman")
    return sequence


def unneeded() -> None:
    raise AssertionError


@pytest.mark.parametrize(
    ("estimate", "measured_mib"),
    [
        (needed_bytes(16, 2, mixed=False), 139),
        (needed_bytes(18, 2, mixed=False), 749),
        (needed_bytes(16, 2, distinct=True, mixed=False), 234),
        (needed_bytes(14, 2, exchanges=True, mixed=False), 82),
        (needed_bytes(16, 2, exchanges=True, mixed=False), 615),
        (needed_bytes(10, 3, bases=2, mixed=False), 57),
        (needed_bytes(8, 2, collapses=1, mixed=True), 48),
        (needed_bytes(9, 2, collapses=1, mixed=True), 226),
    ],
)
def test_estimates_are_no_less_than_what_was_measured(estimate: int, measured_mib: int) -> None:
    assert measured_mib <= estimate / MIB <= 6 * measured_mib


@pytest.mark.usefixtures("small_limit")
@pytest.mark.parametrize(
    ("sequence", "options"),
    [
        (a_sequence(18), {}),
        (a_sequence(9), {"noise_model": NoiseModel(dephasing_rate=0.1)}),
        (
            a_sequence(13),
            {"noise_model": NoiseModel(dephasing_rate=0.1), "solver": Solver.MCSOLVER},
        ),
        (a_sequence(14), {"default_evaluation_times": "Full"}),
        (a_sequence(11, digital=True), {}),
    ],
)
def test_what_fits(sequence: Any, options: dict[str, Any]) -> None:
    config = QutipConfig(observables=[BitStrings()], **options)
    require_memory(needed_by(sequence, config), unneeded)


@pytest.mark.usefixtures("small_limit")
@pytest.mark.parametrize(
    ("sequence", "options"),
    [
        (a_sequence(20), {}),
        (a_sequence(13), {"noise_model": NoiseModel(dephasing_rate=0.1)}),
        (
            a_sequence(13),
            {
                "noise_model": NoiseModel(dephasing_rate=0.1, temperature=50),
                "solver": Solver.MESOLVER,
            },
        ),
        (a_sequence(16), {"default_evaluation_times": "Full"}),
        (a_sequence(16), {"default_evaluation_times": [i / 600 for i in range(601)]}),
        (a_sequence(14, digital=True), {}),
    ],
)
def test_what_does_not_fit(sequence: Any, options: dict[str, Any]) -> None:
    config = QutipConfig(observables=[Energy()], **options)
    asked: list[bool] = []
    with pytest.raises(JobError, match=r"needs about \d+\.\d GB of memory, and a worker has 1\.\d"):
        require_memory(needed_by(sequence, config), lambda: asked.append(True))
    assert asked


def test_without_a_limit_nothing_is_refused() -> None:
    assert resource.getrlimit(resource.RLIMIT_DATA)[0] == resource.RLIM_INFINITY
    require_memory(2**60, unneeded)
