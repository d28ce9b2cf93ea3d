"""EMU_FREE in real worker processes."""

import json
from typing import Any

import numpy as np
import pytest
from pulser import AnalogDevice, MockDevice, NoiseModel, Pulse, Register, Sequence
from pulser.backend import BitStrings, EmulationConfig, Energy, Occupation, Results
from scipy.stats import chisquare

from tweezer.execution.emulators.task import JobError, Limits
from tweezer.execution.engines.local import LocalEngine

pytestmark = pytest.mark.filterwarnings("ignore")  # Pulser's advice for people at a prompt

#: How often a test of a distribution may fail for a correct emulator.
FALSE_ALARM = 1e-6

VALUES = {"omega": 6.0, "detunings": [-8.0, 8.0], "duration": 1500}


async def run(engine: LocalEngine, task: Any) -> dict[str, Any]:
    return dict(json.loads(await engine.run(task, lambda _: None)))


def assert_drawn_from(probabilities: dict[str, float], counter: dict[str, int]) -> None:
    """A chi-square test; outcomes expected fewer than five times are taken together."""
    shots = sum(counter.values())
    assert counter.keys() <= probabilities.keys()
    frequent = [bits for bits, p in probabilities.items() if p * shots >= 5]
    observed = [counter.get(bits, 0) for bits in frequent]
    expected = [probabilities[bits] * shots for bits in frequent]
    rest = shots - sum(expected)
    if rest >= 5:
        observed.append(shots - sum(observed))
        expected.append(rest)
    scale = sum(observed) / sum(expected)
    assert chisquare(observed, np.array(expected) * scale).pvalue > FALSE_ALARM


async def test_a_plain_sequence(
    engine: LocalEngine, make_task: Any, bell: str, probability_of: Any
) -> None:
    result = await run(engine, make_task(bell, runs=5000))
    assert result.keys() == {"counter", "raw", "serialised_results"}
    assert result["raw"] is None
    assert result["serialised_results"] is None
    assert sum(result["counter"].values()) == 5000
    assert_drawn_from(probability_of(Sequence.from_abstract_repr(bell)), result["counter"])


async def test_values_beside_a_built_sequence_are_for_display(
    engine: LocalEngine, make_task: Any, bell: str
) -> None:
    """As a job carries them that repeats another one."""
    result = await run(engine, make_task(bell, runs=10, variables_json='{"omega": 2.0}'))
    assert sum(result["counter"].values()) == 10


async def test_scalars_and_arrays(
    engine: LocalEngine, make_task: Any, sweep: str, probability_of: Any
) -> None:
    """The same sequence with other values, in one worker: nothing of the job before is left."""
    for omega in (2.0, 6.0, 2.0):
        values = VALUES | {"omega": omega}
        task = make_task(sweep, runs=5000, variables_json=json.dumps(values))
        result = await run(engine, task)
        built = Sequence.from_abstract_repr(sweep).build(**values)
        assert_drawn_from(probability_of(built), result["counter"])


async def test_a_failed_build_leaves_nothing_behind(
    engine: LocalEngine, make_task: Any, sweep: str, probability_of: Any
) -> None:
    bad = VALUES | {"omega": 1.0, "detunings": [1.0]}
    with pytest.raises(JobError, match="variable of size 2"):
        await run(engine, make_task(sweep, variables_json=json.dumps(bad)))
    result = await run(engine, make_task(sweep, runs=5000, variables_json=json.dumps(VALUES)))
    built = Sequence.from_abstract_repr(sweep).build(**VALUES)
    assert_drawn_from(probability_of(built), result["counter"])


@pytest.mark.parametrize("traps", [{"m0": 0, "m1": 1}, {"m1": 3, "m0": 2, "m2": 0}, {"m0": 3}])
async def test_a_mappable_register(
    engine: LocalEngine, make_task: Any, mappable: str, probability_of: Any, traps: Any
) -> None:
    task = make_task(mappable, runs=5000, variables_json=json.dumps({"qubits": traps}))
    result = await run(engine, task)
    assert {len(bits) for bits in result["counter"]} == {len(traps)}
    built = Sequence.from_abstract_repr(mappable).build(qubits=traps)
    assert_drawn_from(probability_of(built), result["counter"])


@pytest.mark.parametrize(("runs", "shots"), [(None, 1000), (1, 1), (12, 12)])
async def test_shots(
    engine: LocalEngine, make_task: Any, bell: str, runs: int | None, shots: int
) -> None:
    result = await run(engine, make_task(bell, runs=runs))
    assert sum(result["counter"].values()) == shots


async def test_backend_configuration(engine: LocalEngine, make_task: Any, bell: str) -> None:
    bitstrings = BitStrings(evaluation_times=[0.5, 1.0])
    occupation = Occupation(evaluation_times=[0.25, 0.5, 1.0])
    energy = Energy()
    config = EmulationConfig(
        observables=[bitstrings, occupation, energy],
        default_evaluation_times=(0.0, 1.0),
        default_num_shots=200,
    )
    text = config.to_abstract_repr()
    result = await run(engine, make_task(bell, runs=1, backend_configuration=text))
    results = Results.from_abstract_repr(result["serialised_results"])
    assert results.atom_order == ("a", "b")
    assert results.get_result_times(occupation) == pytest.approx([0.25, 0.5, 1.0])
    assert results.get_result_times(energy) == [0.0, 1.0]
    assert results.get_result_times(bitstrings) == pytest.approx([0.5, 1.0])
    assert sum(results.final_bitstrings.values()) == 200
    assert result["counter"] == results.final_bitstrings
    assert result["raw"] is None
    final = results.get_result(occupation, 1.0)
    assert final == pytest.approx([0.5, 0.5], abs=0.05)


async def test_backend_configuration_without_bitstrings_at_the_end(
    engine: LocalEngine, make_task: Any, bell: str
) -> None:
    config = EmulationConfig(observables=[BitStrings(evaluation_times=[0.5]), Energy()])
    task = make_task(bell, backend_configuration=config.to_abstract_repr())
    result = await run(engine, task)
    assert result["counter"] is None
    results = Results.from_abstract_repr(result["serialised_results"])
    assert set(results.get_result_tags()) == {"bitstrings", "energy"}


async def test_a_noise_model_in_the_configuration(
    engine: LocalEngine, make_task: Any, bell: str
) -> None:
    """Atoms that are always lost: nothing is ever measured."""
    noise = NoiseModel(p_false_neg=1.0, temperature=50.0)
    config = EmulationConfig(
        observables=[BitStrings(num_shots=30)], noise_model=noise, n_trajectories=4
    )
    task = make_task(bell, backend_configuration=config.to_abstract_repr())
    result = await run(engine, task)
    assert result["counter"] == {"00": 4 * 30}


async def test_legacy_noise(engine: LocalEngine, make_task: Any, bell: str) -> None:
    """A blockaded pair shows 11 by false positives only, and 00 mostly by false negatives."""
    task = make_task(bell, runs=1501, configuration_json='{"with_noise": true}')
    result = await run(engine, task)
    counter = result["counter"]
    assert sum(counter.values()) == 1501
    # About 7 % of the shots; a noiseless emulation shows some 0.1 %.
    assert 30 < counter["00"] < 300


async def test_progress_moves_with_the_trajectories(
    engine: LocalEngine, make_task: Any, bell: str
) -> None:
    reported: list[int] = []
    task = make_task(bell, runs=40, configuration_json='{"with_noise": true}')
    await engine.run(task, reported.append)
    assert reported == sorted(set(reported))
    assert reported[:2] == [0, 5]
    assert reported[-1] == 95
    assert len(reported) > 10


@pytest.mark.parametrize(("basis", "bits"), [("ground-rydberg", "01"), ("digital", "10")])
async def test_a_sequence_with_three_states_is_measured_in_its_basis(
    engine: LocalEngine, make_task: Any, basis: str, bits: str
) -> None:
    """Atom a ends in the hyperfine state, atom b in the Rydberg state."""
    sequence = Sequence(Register({"a": (0, 0), "b": (60, 0)}), MockDevice)
    sequence.declare_channel("raman", "raman_local", initial_target="a")
    sequence.declare_channel("rydberg", "rydberg_global")
    half_turn = Pulse.ConstantPulse(500, np.pi / 0.5, 0, 0)
    sequence.add(half_turn, "raman")
    sequence.add(half_turn, "rydberg")
    sequence.measure(basis)
    result = await run(engine, make_task(sequence.to_abstract_repr(), runs=100))
    assert result["counter"] == {bits: 100}


async def test_a_measurement_that_makes_no_sense(engine: LocalEngine, make_task: Any) -> None:
    sequence = Sequence(Register({"a": (0, 0)}), MockDevice)
    sequence.declare_channel("rydberg", "rydberg_global")
    sequence.declare_channel("raman", "raman_global")
    sequence.add(Pulse.ConstantPulse(100, 1, 0, 0), "rydberg")
    sequence.measure("digital")
    with pytest.raises(JobError, match=r"The sequence cannot be emulated: .*ground-rydberg"):
        await run(engine, make_task(sequence.to_abstract_repr()))


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no variables": ({}, "could not be built with these variables: Did not receive values"),
    "missing variable": (
        {"variables_json": '{"omega": 1, "duration": 100}'},
        "Did not receive values for variables: detunings",
    ),
    "extra variable": (
        {"variables_json": json.dumps(VALUES | {"omeg": 1})},
        "with these variables: the sequence declares no omeg",
    ),
    "wrong size": (
        {"variables_json": json.dumps(VALUES | {"omega": [1, 2]})},
        "Can't assign array of size 2 to variable of size 1",
    ),
    "wrong type": (
        {"variables_json": json.dumps(VALUES | {"omega": "strong"})},
        "could not convert string to float",
    ),
    "not JSON": ({"variables_json": "{"}, "The variables could not be read: "),
    "no object": ({"variables_json": "[1]"}, "The variables could not be read: they are not a"),
    "qubits for a concrete register": (
        {"variables_json": json.dumps(VALUES | {"qubits": {"q0": 1}})},
        "'qubits' must not be specified",
    ),
    "too many atoms": (
        {"variables_json": json.dumps(VALUES), "limits": Limits(max_atoms=3)},
        "The register has 4 atoms, and this device emulates at most 3.",
    ),
    "too long": (
        {"variables_json": json.dumps(VALUES), "limits": Limits(max_sequence_ns=99)},
        " ns, and this device emulates at most 99 ns.",
    ),
    "too short": (
        {"variables_json": json.dumps(VALUES | {"duration": 0})},
        "could not be built with these variables",
    ),
    "unknown device": (
        {"variables_json": json.dumps(VALUES), "device_type": "EMU_TN"},
        "There is no emulator for the device type EMU_TN.",
    ),
    "unknown option": (
        {"variables_json": json.dumps(VALUES), "configuration_json": '{"max_bond_dim": 500}'},
        "options that EMU_FREE does not know: max_bond_dim.",
    ),
    "strict validation of a virtual device": (
        {
            "variables_json": json.dumps(VALUES),
            "runs": 10,
            "configuration_json": '{"strict_validation": true}',
        },
        "The sequence cannot be emulated: To be sent to a QPU, the device of the sequence must be",
    ),
    "large results": (
        {"variables_json": json.dumps(VALUES), "limits": Limits(max_result_bytes=20)},
        "bytes, the limit is 20: ask for fewer observables",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_refusals(engine: LocalEngine, make_task: Any, sweep: str, case: str) -> None:
    fields, sentence = REFUSED[case]
    with pytest.raises(JobError) as caught:
        await run(engine, make_task(sweep, **fields))
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


async def test_a_pulse_that_the_device_cannot_make(engine: LocalEngine, make_task: Any) -> None:
    sequence = Sequence(Register({"a": (0, 0)}), AnalogDevice)
    sequence.declare_channel("ch", "rydberg_global")
    omega = sequence.declare_variable("omega")
    sequence.add(Pulse.ConstantPulse(200, omega, 0, 0), "ch")
    sequence.measure("ground-rydberg")
    task = make_task(sequence.to_abstract_repr(), variables_json='{"omega": 100}')
    with pytest.raises(JobError, match="The pulse's amplitude goes over the maximum value"):
        await run(engine, task)


async def test_a_sequence_that_does_nothing(engine: LocalEngine, make_task: Any) -> None:
    sequence = Sequence(Register({"a": (0, 0)}), MockDevice)
    sequence.declare_channel("ch", "rydberg_global")
    with pytest.raises(JobError, match="cannot be emulated: No instructions given"):
        await run(engine, make_task(sequence.to_abstract_repr()))


@pytest.mark.parametrize(
    ("runs", "sentence"),
    [(None, "must specify 'runs'"), (10**6, "below the maximum allowed by the device")],
)
async def test_strict_validation_checks_the_runs(
    engine: LocalEngine, make_task: Any, bell: str, runs: int | None, sentence: str
) -> None:
    task = make_task(bell, runs=runs, configuration_json='{"strict_validation": true}')
    with pytest.raises(JobError, match=f"does not pass strict validation: .*{sentence}"):
        await run(engine, task)


async def test_strict_validation_of_a_good_job(engine: LocalEngine, make_task: Any) -> None:
    layout = AnalogDevice.pre_calibrated_layouts[0]
    sequence = Sequence(layout.define_register(0, 1), AnalogDevice)
    sequence.declare_channel("ch", "rydberg_global")
    sequence.add(Pulse.ConstantPulse(200, 3, 0, 0), "ch")
    sequence.measure("ground-rydberg")
    task = make_task(
        sequence.to_abstract_repr(), runs=9, configuration_json='{"strict_validation": true}'
    )
    assert sum((await run(engine, task))["counter"].values()) == 9


async def test_a_sequence_that_is_none(engine: LocalEngine, make_task: Any) -> None:
    with pytest.raises(JobError, match="The sequence could not be read: "):
        await run(engine, make_task("{}"))


def test_the_helpers_of_this_file_can_fail() -> None:
    """The distribution test refuses a coin that is not fair."""
    with pytest.raises(AssertionError):
        assert_drawn_from({"0": 0.5, "1": 0.5}, {"0": 2800, "1": 2200})
