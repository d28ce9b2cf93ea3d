"""JSON comes in and goes out without a changed number, and cannot take much memory."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tweezer.gateway.json_text import has_more_values_than, json_text
from tweezer.gateway.problems import InvalidRequest
from tweezer.gateway.schemas.bodies import CreateBatch

PROJECT = "00000000-0000-0000-0000-000000000001"

NUMBERS = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=8,
)


def same(a, b):
    """Equal, and whole numbers still whole."""
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


@given(st.dictionaries(TEXTS, VALUES, max_size=4))
def test_variables_survive_the_way_through(variables):
    body = json.dumps({"project_id": PROJECT, "jobs": [{"variables": variables}]})

    read = CreateBatch.model_validate_json(body)

    assert same(json.loads(json_text(read.jobs[0]["variables"], ())), variables)


@given(
    st.lists(st.sampled_from([0, None, [None]])),
    st.sampled_from([math.inf, -math.inf, math.nan]),
    st.lists(st.integers(0, 3), max_size=5),
)
def test_what_json_cannot_say_is_found_wherever_it_is(before, number, path):
    value = number
    for _ in path:
        value = {"k": [*before, value]}

    with pytest.raises(InvalidRequest) as raised:
        json_text(value, ("body",))

    (problem,) = raised.value.problems
    assert problem["loc"] == ["body", *["k", len(before)] * len(path)]


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1, 10**40])
def test_whole_numbers_beyond_64_bits_are_refused(number):
    with pytest.raises(InvalidRequest, match="64 bits"):
        json_text({"x": number}, ("body",))


def _values(value):
    """The number of values and keys in a JSON value."""
    if isinstance(value, dict):
        return 1 + sum(1 + _values(item) for item in value.values())
    if isinstance(value, list):
        return 1 + sum(map(_values, value))
    return 1


@given(VALUES)
def test_no_value_is_left_out_of_the_count(value):
    body = json.dumps(value).encode()
    # A container of n numbers has n - 1 commas, so the count can fall short by one per container
    # that is filled with bare values, and by one for a bare value itself.
    count = sum(1 for limit in range(len(body)) if has_more_values_than(limit, body))

    assert count >= (_values(value) - 1) / 2


@given(st.binary(max_size=60))
def test_the_count_ends_on_any_bytes(body):
    assert not has_more_values_than(len(body), body)


def test_a_string_counts_once():
    assert not has_more_values_than(3, b'["' + b'[,{\\"' * 1000 + b'"]')


@pytest.mark.parametrize("piece", [b'"', b'\\"', b'"\\', b"\\", b"[", b'"a"'])
def test_the_count_takes_time_in_proportion(piece):
    # A regular expression that steps back would take hours.
    has_more_values_than(10**9, b'"' + piece * 1_000_000)
