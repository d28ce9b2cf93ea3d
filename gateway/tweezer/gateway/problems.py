"""What is wrong with a request, in the form that the public client prints."""

from collections.abc import Iterable, Mapping
from typing import Final, TypedDict

from pydantic import ValidationError

#: Most problems that are listed; a caller repairs the first ones first.
_MOST_SHOWN: Final = 100


class Problem(TypedDict):
    """One thing wrong with a request."""

    loc: list[str | int]
    msg: str
    type: str


class Refused(Exception):
    """The gateway itself refuses the request; the text is for the caller."""

    def __init__(
        self, status: int, description: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(description)
        self.status, self.description, self.headers = status, description, headers


class InvalidRequest(Exception):
    """The request can never succeed as it is."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(problem["msg"] for problem in problems))
        self.problems = problems


def invalid(loc: Iterable[str | int], message: str, kind: str = "value_error") -> InvalidRequest:
    """Returns the error for one problem."""
    return InvalidRequest([{"loc": list(loc), "msg": message, "type": kind}])


def invalid_input(error: ValidationError, place: str) -> InvalidRequest:
    """Returns the error for what pydantic found in the `body` or the `query`."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return InvalidRequest(
        [
            {"loc": [place, *problem["loc"]], "msg": problem["msg"], "type": problem["type"]}
            for problem in found[:_MOST_SHOWN]
        ]
    )
