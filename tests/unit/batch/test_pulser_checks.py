"""What is found out about a sequence."""

import json

import pulser
import pytest
from pulser.backend import BitStrings, EmulationConfig
from pulser.register.register_layout import RegisterLayout

from tweezer.batch.checks import pulser_checks
from tweezer.batch.checks.facts import ProgramFacts, Refused, VariableFacts
from tweezer.batch.checks.sentences import MAX_LENGTH, one_line, sentence_of


def facts_of(sequence):
    text = sequence.to_abstract_repr()
    return ProgramFacts.from_json(
        json.loads(json.dumps(pulser_checks.inspect_sequence(text, 100, 1000)))
    )


@pytest.fixture
def layout():
    return RegisterLayout([[6 * i, 6 * j] for i in range(3) for j in range(2)])


def driven(register, device=pulser.MockDevice):
    sequence = pulser.Sequence(register, device)
    sequence.declare_channel("ch", "rydberg_global")
    sequence.add(pulser.Pulse.ConstantPulse(100, 1, 0, 0), "ch")
    return sequence


def test_a_plain_sequence():
    facts = facts_of(driven(pulser.Register.square(3, spacing=6, prefix="q")))
    assert facts == ProgramFacts(
        device_name="MockDevice",
        needs_values=False,
        variables={},
        qubit_ids=None,
        atoms=9,
        traps=0,
        has_instructions=True,
        virtual=True,
        qpu_refusal="To be sent to a QPU, the device of the sequence "
        "must be a real device, instance of 'Device'.",
        duration_ns=100,
    )


def test_declared_variables_have_a_kind_and_a_size():
    sequence = driven(pulser.Register.square(2, spacing=6, prefix="q"))
    amplitude = sequence.declare_variable("amplitude")
    sequence.declare_variable("times", size=4, dtype=int)
    sequence.add(pulser.Pulse.ConstantPulse(100, amplitude, 0, 0), "ch")
    facts = facts_of(sequence)
    assert facts.needs_values
    assert facts.variables == {
        "amplitude": VariableFacts("float", 1),
        "times": VariableFacts("int", 4),
    }


def test_variables_that_nothing_uses_need_no_values():
    sequence = driven(pulser.Register.square(2, spacing=6, prefix="q"))
    sequence.declare_variable("idle")
    assert not facts_of(sequence).needs_values


def test_a_mappable_register_needs_values(layout):
    facts = facts_of(driven(layout.make_mappable_register(3, prefix="q")))
    assert facts.needs_values
    assert facts.qubit_ids == ("q0", "q1", "q2")
    assert facts.traps == 6


def test_a_layout_without_a_mappable_register(layout):
    facts = facts_of(driven(layout.define_register(0, 3, qubit_ids=["a", "b"])))
    assert (facts.qubit_ids, facts.atoms, facts.traps) == (None, 2, 6)


def test_a_sequence_that_does_nothing():
    sequence = pulser.Sequence(pulser.Register.square(2, spacing=6, prefix="q"), pulser.MockDevice)
    assert not facts_of(sequence).has_instructions
    sequence.declare_channel("ch", "rydberg_global")
    assert not facts_of(sequence).has_instructions
    sequence.delay(100, "ch")
    assert facts_of(sequence).has_instructions


def test_the_device_is_named():
    register = pulser.Register.square(2, spacing=6, prefix="q")
    assert facts_of(driven(register, pulser.AnalogDevice)).device_name == "AnalogDevice"


def test_building_does_not_change_what_is_kept():
    sequence = driven(pulser.Register.square(2, spacing=6, prefix="q"))
    amplitude = sequence.declare_variable("amplitude")
    sequence.add(pulser.Pulse.ConstantPulse(100, amplitude, 0, 0), "ch")
    text = sequence.to_abstract_repr()
    low, high = '{"amplitude": 1}', '{"amplitude": [2.0]}'
    built = [pulser_checks.build_sequence(text, v)["sequence"] for v in (low, high, low)]
    assert built[0] == built[2] != built[1]
    pulser_checks.forget_sequences()
    assert pulser_checks.build_sequence(text, low)["sequence"] == built[0]


@pytest.mark.filterwarnings("ignore:The default value of `BitStrings.num_shots`:RuntimeWarning")
def test_configurations():
    config = EmulationConfig(observables=[BitStrings()])
    assert pulser_checks.inspect_configuration(config.to_abstract_repr(), 1000) == {}
    with pytest.raises(Refused, match="asks for 1000 shots, and the limit is 999"):
        pulser_checks.inspect_configuration(config.to_abstract_repr(), 999)


def test_sentences_are_short_and_on_one_line():
    assert one_line("a\n  b\tc") == "a b c"
    assert len(one_line("x" * 10_000)) == MAX_LENGTH
    assert sentence_of(ValueError("bad\nvalue")) == "bad value"
    assert sentence_of(KeyError("name")) == "KeyError('name')"
    assert sentence_of(AssertionError()) == "AssertionError()"


def test_why_a_sequence_is_not_for_a_qpu():
    register = pulser.Register.square(2, spacing=6, prefix="q")
    device = pulser.AnalogDevice
    facts = facts_of(driven(register.with_automatic_layout(device), device))
    assert (facts.virtual, facts.qpu_refusal) == (False, None)


def parametrised():
    sequence = pulser.Sequence(pulser.Register.square(2, spacing=6, prefix="q"), pulser.MockDevice)
    sequence.declare_channel("ch", "rydberg_global")
    return sequence


def times_and_heights(sequence):
    height = sequence.declare_variable("height")
    step = sequence.declare_variable("step", dtype=int)
    pulse = pulser.Pulse.ConstantDetuning(pulser.BlackmanWaveform(2 * step + 100, height), 0, 0)
    sequence.add(pulse, "ch")


def areas(sequence):
    area = sequence.declare_variable("area")
    wave = pulser.BlackmanWaveform.from_max_val(2.0, area)
    sequence.add(pulser.Pulse.ConstantDetuning(wave, 0, 0), "ch")


def phases(sequence):
    phase, shift = sequence.declare_variable("phase"), sequence.declare_variable("shift")
    pulse = pulser.Pulse.ConstantPulse(100, 1, shift, phase, post_phase_shift=shift)
    sequence.add(pulse, "ch")


def delays(sequence):
    sequence.declare_variable("idle")
    sequence.delay(sequence.declare_variable("wait", dtype=int), "ch")


@pytest.mark.parametrize(
    ("add", "timed_by"),
    [
        (times_and_heights, ("step",)),
        (areas, ("area",)),
        (phases, ("phase",)),
        (delays, ("wait",)),
    ],
)
def test_variables_that_may_change_the_duration(add, timed_by):
    sequence = parametrised()
    add(sequence)
    facts = facts_of(sequence)
    assert facts.duration_ns is None
    assert facts.timed_by == timed_by


def test_durations_are_measured_as_far_as_there_is_time(monkeypatch):
    sequence = parametrised()
    delays(sequence)
    text = sequence.to_abstract_repr()
    values = [json.dumps({"idle": 0, "wait": wait}) for wait in (100, -1, 300)]
    measured = pulser_checks.measure_durations(text, values)
    assert measured == {"durations_ns": [100, None, 300]}
    monkeypatch.setattr(pulser_checks, "_BUILDING_S", -1.0)
    assert pulser_checks.measure_durations(text, values) == {"durations_ns": [100]}
