"""Our check of variables against Pulser's own: what we let through, Pulser can assign."""

import math

import pulser
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tweezer.batch.checks.facts import ProgramFacts, VariableFacts
from tweezer.batch.checks.variables import check_variables
from tweezer.rpc.errors import InvalidInput

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=True, allow_infinity=True)
    | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=5,
)


def facts(kind, size):
    return ProgramFacts(
        device_name="MockDevice",
        needs_values=True,
        variables={"x": VariableFacts(kind, size)},
        qubit_ids=None,
        atoms=1,
        traps=0,
        has_instructions=True,
        virtual=True,
        qpu_refusal=None,
    )


def refusal(values, facts):
    try:
        check_variables("jobs[0].variables", values, facts, None)
    except InvalidInput as error:
        return str(error)
    return None


@given(
    value=JSON_VALUES | st.lists(st.integers() | st.floats(), max_size=4),
    kind=st.sampled_from(["int", "float"]),
    size=st.integers(1, 3),
)
def test_what_is_accepted_pulser_can_assign(value, kind, size):
    if refusal({"x": value}, facts(kind, size)) is None:
        declared = {"int": int, "float": float}[kind]
        assigned = pulser.parametrized.Variable("x", declared, size)._validate_value(value)
        wanted = value if isinstance(value, list) else [value]
        assert [float(x) for x in assigned.as_array()] == [float(x) for x in wanted]


numbers = st.integers(-(2**63) + 1, 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)


@given(values=st.lists(numbers, min_size=1, max_size=4))
def test_every_list_of_numbers_is_accepted_for_floats(values):
    assert refusal({"x": values}, facts("float", len(values))) is None
    if len(values) == 1:
        assert refusal({"x": values[0]}, facts("float", 1)) is None


@given(values=st.lists(st.integers(-(2**53), 2**53), min_size=1, max_size=4))
def test_whole_numbers_are_accepted_for_integers_in_either_form(values):
    assert refusal({"x": values}, facts("int", len(values))) is None
    assert refusal({"x": [float(v) for v in values]}, facts("int", len(values))) is None


@given(value=st.floats().filter(lambda v: not math.isfinite(v) or v != int(v)))
def test_other_numbers_are_not(value):
    assert refusal({"x": value}, facts("int", 1)).startswith("jobs[0].variables.x: must be ")


def test_a_huge_integer_is_no_crash():
    assert "is too large" in refusal({"x": 10**400}, facts("int", 1))
    assert "is too large" in refusal({"x": -(10**400)}, facts("float", 1))
    assert refusal({"x": 10**300}, facts("float", 1)) is None


def test_names_in_messages_are_bounded():
    told = refusal({"x": 1, "y" * 10_000: 1}, facts("float", 1))
    assert len(told) < 200


@pytest.mark.parametrize(
    ("qubits", "accepted"), [(["q0", "q1"], True), (["q0", "q1", "q2"], False)]
)
def test_the_atom_limit_counts_the_qubits_that_are_mapped(qubits, accepted):
    mappable = ProgramFacts(
        device_name="MockDevice",
        needs_values=True,
        variables={},
        qubit_ids=("q0", "q1", "q2", "q3"),
        atoms=4,
        traps=9,
        has_instructions=True,
        virtual=True,
        qpu_refusal=None,
    )
    values = {"qubits": {qubit: index for index, qubit in enumerate(qubits)}}
    if accepted:
        check_variables("jobs[0].variables", values, mappable, 2)
    else:
        with pytest.raises(InvalidInput) as refused:
            check_variables("jobs[0].variables", values, mappable, 2)
        assert str(refused.value) == (
            "jobs[0].variables.qubits: maps 3 qubits, and the device takes at most 2 atoms"
        )
