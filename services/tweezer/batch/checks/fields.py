"""Checks the plain fields of a new batch."""

import json
from collections.abc import Iterable
from typing import Any

from tweezer.rpc.errors import InvalidInput
from tweezer.webhooks.targets import TargetRefused, check_url


def check_tags(tags: Iterable[str], max_tags: int, max_length: int) -> list[str]:
    """Returns the tags without repetitions.

    A repeated tag is dropped and not refused: tags are a set in the Pasqal Cloud API, and a set
    loses repetitions without a word.
    """
    unique = list(dict.fromkeys(tags))
    if len(unique) > max_tags:
        raise InvalidInput("tags", f"there are {len(unique)}, and the limit is {max_tags}")
    for index, tag in enumerate(unique):
        if not 1 <= len(tag) <= max_length:
            raise InvalidInput(f"tags[{index}]", f"must have 1 to {max_length} characters")
        if "\0" in tag:
            raise InvalidInput(f"tags[{index}]", "must not contain the character U+0000")
    return unique


def check_webhook(url: str, *, allow_private: bool) -> None:
    """Raises InvalidInput unless messages may go to this URL."""
    try:
        check_url(url, allow_private=allow_private)
    except TargetRefused as refused:
        raise InvalidInput("webhook", str(refused)) from None


def check_configuration(text: str, max_bytes: int) -> None:
    """Raises InvalidInput unless the legacy configuration is a JSON object of bounded size."""
    if len(text.encode()) > max_bytes:
        raise InvalidInput("configuration", f"is longer than the limit of {max_bytes} bytes")
    if not isinstance(_json("configuration", text), dict):
        raise InvalidInput("configuration", "must be a JSON object")


def check_runs(field: str, runs: int, max_runs: int) -> None:
    """Raises InvalidInput unless the number of shots is within bounds."""
    if not 1 <= runs <= max_runs:
        raise InvalidInput(field, f"must be 1 to {max_runs}, not {runs}")


def read_variables(field: str, text: str) -> dict[str, Any]:
    """Returns the values of variables; none for null."""
    values = _json(field, text)
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise InvalidInput(field, "must be a JSON object")
    return values


def _json(field: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidInput(field, "is not JSON") from None
