"""Turns what Pulser refuses into one sentence for the author of the job."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from tweezer.execution.emulators.task import JobError

#: Longest reason that is passed on, in characters.
_LONGEST: Final = 400


def one_line(error: BaseException) -> str:
    """Returns the text of an error on one line of bounded length.

    A schema error is reduced to what is wrong and where, without the schema.
    """
    text = str(getattr(error, "message", "") or error) or type(error).__name__
    place = str(getattr(error, "json_path", "$")).removeprefix("$").removeprefix(".")
    text = " ".join(f"at {place}: {text}".split() if place else text.split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


@contextmanager
def blaming_job(what: str) -> Iterator[None]:
    """Raises JobError with `what` and the reason when the body is refused by Pulser.

    Only for steps that read or check what the author wrote. Pulser has no common base for its
    refusals (ValueError, TypeError, KeyError, AttributeError and schema errors all occur), so in
    such a step any error counts as one.
    """
    try:
        yield
    except (JobError, MemoryError):
        raise
    except Exception as error:
        raise JobError(f"{what}: {one_line(error)}") from error
