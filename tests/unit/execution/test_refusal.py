"""Sentences made of what Pulser refuses."""

import pytest

from tweezer.execution.emulators.refusal import blaming_job, one_line
from tweezer.execution.emulators.task import JobError


class SchemaError(Exception):
    """Has the attributes of a JSON schema error."""

    message = "'num_shots' is\n   required"
    json_path = "$.observables[0]"


def test_one_line_has_no_line_breaks() -> None:
    assert one_line(ValueError("a\n  b\tc")) == "a b c"


def test_one_line_is_bounded() -> None:
    assert len(one_line(ValueError("x" * 10_000))) == 400


def test_one_line_of_an_error_without_text_is_its_type() -> None:
    assert one_line(KeyboardInterrupt()) == "KeyboardInterrupt"


def test_one_line_of_a_schema_error_says_where() -> None:
    assert one_line(SchemaError()) == "at observables[0]: 'num_shots' is required"


def test_blaming_job_gives_the_reason() -> None:
    with pytest.raises(JobError, match=r"^No way: because\.$"), blaming_job("No way"):
        raise ValueError("because.")


@pytest.mark.parametrize("error", [JobError("mine"), MemoryError("too much")])
def test_blaming_job_passes_on(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, blaming_job("No way"):
        raise error
    assert caught.value is error
