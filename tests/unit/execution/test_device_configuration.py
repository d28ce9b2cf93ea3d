"""Configurations with the noise of the sequence's device."""

from dataclasses import replace
from typing import Any

import pytest
from pulser import AnalogDevice, NoiseModel, Pulse, Sequence
from pulser.backend import BitStrings, EmulationConfig
from pulser_simulation.simulation import Solver

from tweezer.execution.emulators.configuration import configure_for_device
from tweezer.execution.emulators.task import JobError, Limits, Task

pytestmark = pytest.mark.filterwarnings("ignore")  # Pulser's advice for people at a prompt

NOISE = NoiseModel(p_false_pos=0.02, p_false_neg=0.08, temperature=40.0)
OTHER = NoiseModel(p_false_pos=0.5, p_false_neg=0.08)


def a_sequence(noise: NoiseModel | None, atoms: int = 2) -> Any:
    device = replace(AnalogDevice, noise_model=noise)
    sequence = Sequence(device.pre_calibrated_layouts[0].define_register(*range(atoms)), device)
    sequence.declare_channel("ch", "rydberg_global")
    sequence.add(Pulse.ConstantPulse(200, 3, 0, 0), "ch")
    sequence.measure("ground-rydberg")
    return sequence


def a_task(**fields: Any) -> Task:
    return Task("EMU_FRESNEL", "", "", Limits(), **fields)


def a_config(**options: Any) -> str:
    return EmulationConfig(observables=[BitStrings()], **options).to_abstract_repr()


@pytest.mark.parametrize(("runs", "trajectories"), [(1, 1), (7, 7), (300, 40)])
def test_a_plain_job(runs: int, trajectories: int) -> None:
    config = configure_for_device(a_task(runs=runs), a_sequence(NOISE))
    assert config.noise_model == NOISE
    assert config.n_trajectories == trajectories
    assert config.default_num_shots == runs
    assert config.with_modulation
    assert config.print_progress


@pytest.mark.parametrize(("atoms", "solver"), [(7, Solver.DEFAULT), (8, Solver.MCSOLVER)])
def test_large_registers_are_not_solved_as_mixed_states(atoms: int, solver: Solver) -> None:
    config = configure_for_device(a_task(runs=9), a_sequence(NOISE, atoms))
    assert config.solver is solver


def test_a_device_without_a_noise_model_is_noiseless() -> None:
    config = configure_for_device(a_task(runs=9), a_sequence(None))
    assert config.noise_model == NoiseModel()
    assert config.n_trajectories == 1


def test_how_often_to_run_is_not_the_noise_models_affair() -> None:
    noise = replace(NOISE, runs=15, samples_per_run=3)
    config = configure_for_device(a_task(runs=100), a_sequence(noise))
    assert config.n_trajectories == 40
    assert config.noise_model == replace(NOISE, samples_per_run=1)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"noise_model": NOISE},
        {"prefer_device_noise_model": True},
        {"prefer_device_noise_model": True, "noise_model": OTHER},
    ],
)
def test_the_device_gives_a_backend_configuration_its_noise(options: dict[str, Any]) -> None:
    task = a_task(runs=1, backend_configuration=a_config(**options))
    config = configure_for_device(task, a_sequence(NOISE))
    # With this option Pulser would leave out the errors of detection.
    assert not config.prefer_device_noise_model
    assert config.noise_model == NOISE
    assert config.n_trajectories == 40


def test_trajectories_of_a_backend_configuration_stay() -> None:
    text = a_config(n_trajectories=5)
    config = configure_for_device(a_task(runs=1, backend_configuration=text), a_sequence(NOISE))
    assert config.n_trajectories == 5


def test_a_noise_model_where_the_device_has_none_stays() -> None:
    text = a_config(noise_model=OTHER)
    config = configure_for_device(a_task(runs=1, backend_configuration=text), a_sequence(None))
    assert config.noise_model == OTHER


def test_another_noise_model_is_refused() -> None:
    task = a_task(runs=1, backend_configuration=a_config(noise_model=OTHER))
    with pytest.raises(JobError, match="The noise of EMU_FRESNEL is that of the sequence's device"):
        configure_for_device(task, a_sequence(NOISE))
