"""Query strings."""

from datetime import UTC, datetime, timedelta, timezone
from urllib.parse import urlencode
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from tweezer.gateway.problems import InvalidRequest
from tweezer.gateway.query_string import read_query
from tweezer.gateway.schemas.queries import BatchQuery, JobQuery, PageQuery, parameters


def read(query, model=BatchQuery):
    text = query if isinstance(query, bytes) else query.encode()
    return read_query(Request({"type": "http", "query_string": text}), model)


def problems(query, model=BatchQuery):
    """What is wrong with a query, or None; any other exception passes."""
    try:
        read(query, model)
    except InvalidRequest as refused:
        return refused.problems
    return None


def spellings(uuid: UUID):
    text = str(uuid)
    return st.sampled_from(
        [text, text.upper(), uuid.hex, f"{{{text}}}", f"{{{uuid.hex}}}", f"urn:uuid:{text}"]
    )


@given(st.lists(st.uuids().flatmap(lambda uuid: st.tuples(st.just(uuid), spellings(uuid)))))
def test_uuids_in_any_spelling(uuids):
    query = urlencode([("id", spelling) for _, spelling in uuids])

    assert read(query).id == [str(uuid) for uuid, _ in uuids]


@given(st.booleans(), st.sampled_from([str, lambda b: str(b).lower(), lambda b: str(b).upper()]))
def test_booleans_in_any_case(value, spell):
    assert read(f"open={spell(value)}").open is value


@given(st.integers(-5, 110), st.integers(-5, 2**31 + 5))
def test_limit_and_offset_have_bounds(limit, offset):
    query = f"limit={limit}&offset={offset}"
    if 0 < limit < 101 and 0 <= offset < 2**31:
        page = read(query, PageQuery)
        assert (page.limit, page.offset) == (limit, offset)
    else:
        with pytest.raises(InvalidRequest):
            read(query, PageQuery)


@given(
    st.datetimes(min_value=datetime(2, 1, 1), max_value=datetime(9998, 1, 1)),
    st.none() | st.integers(-14 * 60, 14 * 60),
)
def test_times_with_and_without_offset(moment, minutes):
    zone = UTC if minutes is None else timezone(timedelta(minutes=minutes))
    sent = moment if minutes is None else moment.replace(tzinfo=zone)

    read_time = read(urlencode({"start_date": sent.isoformat()})).start_date

    assert read_time == moment.replace(tzinfo=zone)
    assert read_time.tzinfo == UTC


@given(st.dictionaries(st.sampled_from([*JobQuery.model_fields, "other"]), st.text()))
def test_any_query_is_read_or_refused(query):
    found = problems(urlencode(query, errors="replace"), JobQuery)

    assert found is None or {problem["loc"][0] for problem in found} == {"query"}


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(query):
    assert problems(query) != []


@pytest.mark.parametrize("name", ["status", "open", "limit", "id"])
def test_an_empty_value_is_refused_where_it_means_nothing(name):
    (problem,) = problems(f"{name}=")
    assert name in str(problem)


def test_an_empty_value_is_a_text():
    assert read("tag=").tag == ""


def test_of_a_repeated_single_parameter_the_last_counts():
    assert read("limit=5&limit=7").limit == 7


def test_text_is_decoded_as_a_form():
    assert read("tag=a+b%26%C3%BC").tag == "a b&ü"


@pytest.mark.parametrize("model", [BatchQuery, JobQuery])
@pytest.mark.parametrize("multiple", ["id", "project_id", "user_id", "status"])
def test_documented_parameters_say_which_can_be_repeated(model, multiple):
    documented = {parameter["name"]: parameter for parameter in parameters(model)}

    assert documented[multiple]["schema"]["type"] == "array"
    assert documented["limit"]["schema"]["type"] == "integer"
    assert all(parameter["description"] for parameter in documented.values())
