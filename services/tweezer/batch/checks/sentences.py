"""Turns what Pulser refuses into one short sentence."""

from collections.abc import Iterable
from typing import Any, Final

#: Longest sentence, in characters.
MAX_LENGTH: Final = 300

#: Failed rules of a JSON schema that say that quite another alternative was meant.
_TELLING: Final = frozenset({"const", "enum", "type", "additionalProperties"})


def one_line(text: str) -> str:
    """Returns a text on one line of bounded length."""
    text = " ".join(text[: 4 * MAX_LENGTH].split())
    return text if len(text) <= MAX_LENGTH else f"{text[: MAX_LENGTH - 3]}..."


def sentence_of(error: Exception) -> str:
    """Returns what an error says; of a schema error, what is wrong at the innermost place."""
    if not hasattr(error, "json_path"):
        # The text of a KeyError is the bare key.
        return one_line(repr(error) if isinstance(error, KeyError) else str(error) or repr(error))
    fault = _innermost(error)
    place = fault.json_path.removeprefix("$").removeprefix(".")
    if fault.validator == "const":
        # It names one of several alternatives, and not always the right one.
        message = f"{fault.instance!r} is not known here"
    else:
        message = fault.message
    return one_line(f"at {place}: {message}" if place else message)


def _innermost(error: Any) -> Any:
    # "Is not valid under any of the given schemas" helps nobody: the alternative that fits best
    # tells what is wrong.
    while error.context:
        alternatives: dict[Any, list[Any]] = {}
        for cause in error.context:
            alternatives.setdefault(cause.relative_schema_path[0], []).append(cause)
        error = max(min(alternatives.values(), key=_misfit), key=_depth)
    return error


def _misfit(causes: Iterable[Any]) -> tuple[int, int]:
    causes = list(causes)
    return sum(c.validator in _TELLING and _depth(c) <= 1 for c in causes), len(causes)


def _depth(cause: Any) -> int:
    return len(cause.relative_path)
