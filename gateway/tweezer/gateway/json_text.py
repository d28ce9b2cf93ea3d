"""JSON bodies in, JSON text for the services out, without changing a number."""

import math
import re
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, Final, TypeVar

import orjson
from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from tweezer.gateway.problems import Refused, invalid, invalid_input

_Model = TypeVar("_Model", bound=BaseModel)

#: What each value of a JSON text has at least one of: a string is one whatever is in it.
_TOKEN: Final = re.compile(rb'[\[{,]|"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)


async def read_json(request: Request, model: type[_Model], max_values: int) -> _Model:
    """Returns the body of a request, checked against a model."""
    body = await request.body()
    if not body:
        raise invalid(["body"], "Field required", "missing")
    if has_more_values_than(max_values, body):
        raise Refused(413, f"the body holds more than {max_values} values")
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise invalid_input(error, "body") from None


def json_text(value: Any, loc: Sequence[str | int]) -> str:
    """Returns a value from a JSON body as JSON text again."""
    try:
        text = orjson.dumps(value)
    except TypeError:
        raise invalid(loc, "whole numbers must fit into 64 bits") from None
    if b"null" in text:
        # orjson writes an infinity or a NaN like a null.
        not_finite = _path_of_not_finite(value)
        if not_finite is not None:
            raise invalid([*loc, *not_finite], "numbers must be finite")
    return text.decode()


def _path_of_not_finite(value: Any) -> list[str | int] | None:
    """Returns where an infinity or a NaN is; JSON has neither, but 1e400 is read as one."""
    if type(value) is float:
        return None if math.isfinite(value) else []
    items: Iterable[tuple[str | int, Any]] = ()
    if type(value) is dict:
        items = value.items()
    elif type(value) is list:
        items = enumerate(value)
    for step, item in items:
        path = _path_of_not_finite(item)
        if path is not None:
            return [step, *path]
    return None


def has_more_values_than(limit: int, body: bytes) -> bool:
    """Tells whether parsing would make more than `limit` objects, without parsing."""
    if len(body) <= limit:  # each value takes a byte at least
        return False
    return next(islice(_TOKEN.finditer(body), limit, None), None) is not None
