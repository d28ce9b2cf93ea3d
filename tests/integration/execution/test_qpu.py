"""The emulated QPUs in real worker processes."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from pulser import AnalogDevice, MockDevice, NoiseModel, Pulse, Register, Sequence
from pulser.backend import BitStrings, EmulationConfig, Energy, Results
from pulser.devices import Device

from tweezer.execution.emulators.task import JobError, Limits
from tweezer.execution.engines.local import LocalEngine

pytestmark = pytest.mark.filterwarnings("ignore")  # Pulser's advice for people at a prompt

EACH = pytest.mark.parametrize("device_type", ["FRESNEL", "FRESNEL_CAN1", "EMU_FRESNEL"])

#: Most of what is measured is wrong, so that it shows.
MISREAD = NoiseModel(p_false_pos=1.0, p_false_neg=0.0)


@pytest.fixture
def flash() -> Callable[..., str]:
    """A short pulse on atoms of a calibrated layout, too weak to excite them."""

    def build(noise: NoiseModel | None = None, atoms: int = 2, device: Device | None = None) -> str:
        device = device or replace(AnalogDevice, noise_model=noise)
        register = AnalogDevice.pre_calibrated_layouts[0].define_register(*range(atoms))
        sequence = Sequence(register, device)
        sequence.declare_channel("ch", "rydberg_global")
        sequence.add(Pulse.ConstantPulse(100, 1e-3, 0, 0), "ch")
        sequence.measure("ground-rydberg")
        return sequence.to_abstract_repr()

    return build


async def run(engine: LocalEngine, task: Any) -> dict[str, Any]:
    return dict(json.loads(await engine.run(task, lambda _: None)))


@EACH
@pytest.mark.parametrize("runs", [1, 41])
async def test_the_counter_is_all(
    engine: LocalEngine, make_task: Any, flash: Any, device_type: str, runs: int
) -> None:
    result = await run(engine, make_task(flash(), device_type, runs=runs))
    assert result == {"counter": {"00": runs}, "raw": None, "serialised_results": None}


@EACH
@pytest.mark.parametrize(
    "noise",
    [
        MISREAD,
        replace(MISREAD, temperature=50.0),
        NoiseModel(p_false_pos=1.0, dephasing_rate=0.1),
        NoiseModel(p_false_pos=1.0, temperature=50.0, relaxation_rate=0.01),
    ],
    ids=["no trajectories", "trajectories", "effective", "both"],
)
async def test_the_noise_is_that_of_the_sequences_device(
    engine: LocalEngine, make_task: Any, flash: Any, device_type: str, noise: NoiseModel
) -> None:
    """Whatever kind of noise it is, there are as many shots as were asked for."""
    result = await run(engine, make_task(flash(noise), device_type, runs=101))
    assert result["counter"] == {"11": 101}


async def test_detection_errors_have_their_rates(
    engine: LocalEngine, make_task: Any, flash: Any
) -> None:
    text = flash(NoiseModel(p_false_pos=0.2, temperature=50.0), atoms=1)
    counter = (await run(engine, make_task(text, "FRESNEL", runs=2000)))["counter"]
    assert sum(counter.values()) == 2000
    # Six standard deviations.
    assert abs(counter["1"] - 400) < 6 * (2000 * 0.2 * 0.8) ** 0.5


async def test_observables_of_an_emulated_qpu(
    engine: LocalEngine, make_task: Any, flash: Any
) -> None:
    config = EmulationConfig(
        observables=[BitStrings(evaluation_times=[1.0], num_shots=3), Energy()], n_trajectories=4
    ).to_abstract_repr()
    text = flash(replace(MISREAD, temperature=50.0))
    result = await run(engine, make_task(text, "EMU_FRESNEL", runs=1, backend_configuration=config))
    results = Results.from_abstract_repr(result["serialised_results"])
    assert set(results.get_result_tags()) == {"bitstrings", "energy"}
    assert result["counter"] == results.final_bitstrings == {"11": 3 * 4}


@pytest.mark.parametrize("device_type", ["FRESNEL", "FRESNEL_CAN1"])
async def test_a_qpu_takes_no_backend_configuration(
    engine: LocalEngine, make_task: Any, flash: Any, device_type: str
) -> None:
    config = EmulationConfig(observables=[BitStrings()]).to_abstract_repr()
    task = make_task(flash(), device_type, runs=5, backend_configuration=config)
    with pytest.raises(JobError, match=rf"^{device_type} takes no backend configuration: "):
        await run(engine, task)


@EACH
@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({}, "The job does not pass strict validation: .* must specify 'runs'"),
        ({"runs": 2001}, r"must be below the maximum allowed by the device \(2000\)"),
        ({"runs": 5, "limits": Limits(max_qpu_atoms=1)}, "has 2 atoms, and this .* at most 1"),
        ({"runs": 5, "configuration_json": '{"with_noise": true}'}, "is for EMU_FREE: the noise"),
        ({"runs": 5, "configuration_json": '{"dt": 1}'}, "options that (EMU_)?FRESNEL.* know: dt"),
    ],
)
async def test_refusals(
    engine: LocalEngine,
    make_task: Any,
    flash: Any,
    device_type: str,
    fields: dict[str, Any],
    sentence: str,
) -> None:
    with pytest.raises(JobError, match=sentence):
        await run(engine, make_task(flash(), device_type, **fields))


async def test_thirteen_atoms_are_too_many_unless_set_otherwise(
    engine: LocalEngine, make_task: Any, flash: Any
) -> None:
    with pytest.raises(JobError, match="has 13 atoms, and this device emulates at most 12"):
        await run(engine, make_task(flash(atoms=13), "FRESNEL", runs=5))


@EACH
async def test_a_virtual_device_is_refused(
    engine: LocalEngine, make_task: Any, flash: Any, device_type: str
) -> None:
    with pytest.raises(JobError, match="must be a real device"):
        await run(engine, make_task(flash(device=MockDevice), device_type, runs=5))


@EACH
async def test_a_register_without_a_layout_is_refused(
    engine: LocalEngine, make_task: Any, device_type: str
) -> None:
    sequence = Sequence(Register({"a": (0, 0)}), AnalogDevice)
    sequence.declare_channel("ch", "rydberg_global")
    sequence.add(Pulse.ConstantPulse(200, 3, 0, 0), "ch")
    with pytest.raises(JobError, match="register to be defined from a `RegisterLayout`"):
        await run(engine, make_task(sequence.to_abstract_repr(), device_type, runs=5))


async def test_options_that_ask_for_what_is_done_anyway(
    engine: LocalEngine, make_task: Any, flash: Any
) -> None:
    options = '{"strict_validation": true, "result_types": ["counter"]}'
    result = await run(engine, make_task(flash(), "FRESNEL", runs=5, configuration_json=options))
    assert result["counter"] == {"00": 5}
