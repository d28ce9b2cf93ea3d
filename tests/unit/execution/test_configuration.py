"""Shots, options and limits of the configuration that a job becomes."""

import json
from typing import Any

import pytest
from pulser import MockDevice, NoiseModel, Pulse, Register, Sequence
from pulser.backend import BitStrings, EmulationConfig, Energy, Expectation, Occupation
from pulser.backend.operator import OperatorRepr

from tweezer.execution.emulators.configuration import configure
from tweezer.execution.emulators.legacy import LegacyOptions
from tweezer.execution.emulators.task import JobError, Limits, Task

pytestmark = pytest.mark.filterwarnings("ignore")  # Pulser's advice for people at a prompt

LIMITS = Limits(max_atoms=3, max_shots=5000, max_trajectories=50)


@pytest.fixture
def sequence() -> Any:
    sequence = Sequence(Register({"a": (0, 0), "b": (6, 0)}), MockDevice)
    sequence.declare_channel("ch", "rydberg_global")
    sequence.add(Pulse.ConstantPulse(100, 1, 0, 0), "ch")
    return sequence


def a_task(**fields: Any) -> Task:
    return Task("EMU_FREE", "", "", LIMITS, **fields)


def a_config(*observables: Any, **options: Any) -> str:
    return EmulationConfig(observables=observables, **options).to_abstract_repr()


@pytest.mark.parametrize(("runs", "shots"), [(None, 1000), (1, 1), (700, 700)])
def test_shots_without_backend_configuration(sequence: Any, runs: int, shots: int) -> None:
    config = configure(a_task(runs=runs), LegacyOptions(), sequence)
    assert config.default_num_shots == shots
    [bitstrings] = config.observables
    assert bitstrings.num_shots is None


@pytest.mark.parametrize(("runs", "shots"), [(None, 300), (1, 300), (2, 2), (700, 700)])
def test_runs_above_one_replace_the_default_shots(sequence: Any, runs: int, shots: int) -> None:
    text = a_config(BitStrings(), default_num_shots=300)
    config = configure(a_task(runs=runs, backend_configuration=text), LegacyOptions(), sequence)
    assert config.default_num_shots == shots


def test_the_shots_of_an_observable_stay(sequence: Any) -> None:
    text = a_config(BitStrings(num_shots=33))
    config = configure(a_task(runs=700, backend_configuration=text), LegacyOptions(), sequence)
    [bitstrings] = config.observables
    assert bitstrings.num_shots == 33


@pytest.mark.parametrize(("runs", "trajectories", "each"), [(None, 40, 25), (7, 7, 1), (41, 40, 2)])
def test_noise_spreads_the_shots_over_trajectories(
    sequence: Any, runs: int, trajectories: int, each: int
) -> None:
    config = configure(a_task(runs=runs), LegacyOptions(with_noise=True), sequence)
    assert config.n_trajectories == trajectories
    assert config.default_num_shots == each
    assert "SPAM" in config.noise_model.noise_types


def test_the_observables_keep_their_identity(sequence: Any) -> None:
    """A client finds a result by the observable that it has configured."""
    observables = [BitStrings(), Energy(), Occupation(evaluation_times=[0.5])]
    text = a_config(*observables)
    config = configure(a_task(runs=9, backend_configuration=text), LegacyOptions(), sequence)
    assert [o.uuid for o in config.observables] == [o.uuid for o in observables]


def test_what_the_client_wants_printed_is_not_printed(sequence: Any) -> None:
    text = a_config(BitStrings(), progress_bar=True, print_progress=False)
    config = configure(a_task(backend_configuration=text), LegacyOptions(), sequence)
    assert config.progress_bar is False
    assert config.print_progress is True


def test_options_of_other_emulators_are_named(sequence: Any) -> None:
    text = a_config(BitStrings(), autosave_dt=float("inf"), num_gpus_to_use=1)
    assert "Infinity" in text
    with pytest.raises(JobError, match=r"does not know: autosave_dt, num_gpus_to_use\.$"):
        configure(a_task(backend_configuration=text), LegacyOptions(), sequence)


def test_noise_has_one_place(sequence: Any) -> None:
    task = a_task(backend_configuration=a_config(BitStrings()))
    with pytest.raises(JobError, match="put the noise model into the backend configuration"):
        configure(task, LegacyOptions(with_noise=True), sequence)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "The backend configuration could not be read: "),
        ("3", "The backend configuration could not be read: it is not a JSON object"),
        ("{}", "The backend configuration is not valid: 'observables' is a required property"),
        (a_config(BitStrings()).replace("bitstrings", "foo"), r"at observables\[0\]: .*foo"),
        (
            a_config(BitStrings(num_shots=7)).replace('shots": 7', 'shots": 0'),
            "is not valid: 'num_shots' must be greater than or equal to 1",
        ),
        (
            a_config(BitStrings(), interaction_matrix=[[0, 1], [1, 0]]),
            "does not handle custom interaction matrices",
        ),
        (
            a_config(Expectation(OperatorRepr.from_operator_repr(
                eigenstates=("r", "g"), n_qudits=4, operations=[(1.0, [])]
            ))),
            "an operator has more than 3 atoms",
        ),
        (
            json.dumps(json.loads(a_config(BitStrings())) | {
                "initial_state": {"eigenstates": ["r", "g"], "amplitudes": {"r" * 60: 1.0}}
            }),
            "a state has more than 3 atoms",
        ),
        (a_config(BitStrings(num_shots=5001)), "asks for 5001 shots, and the limit is 5000"),
        (
            a_config(
                BitStrings(), noise_model=NoiseModel(temperature=50), n_trajectories=51
            ),
            "asks for 51 noise trajectories, and the limit is 50",
        ),
    ],
)  # fmt: skip
def test_bad_backend_configuration(sequence: Any, text: str, sentence: str) -> None:
    with pytest.raises(JobError, match=sentence) as caught:
        configure(a_task(backend_configuration=text), LegacyOptions(), sequence)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("options", [LegacyOptions(), LegacyOptions(with_noise=True)])
def test_too_many_runs(sequence: Any, options: LegacyOptions) -> None:
    with pytest.raises(JobError, match="asks for 5001 shots, and the limit is 5000"):
        configure(a_task(runs=5001), options, sequence)
