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
def blaming_job(what: str, refusals: tuple[type[Exception], ...] = (Exception,)) -> Iterator[None]:
    """Raises JobError with `what` and the reason when Pulser refuses the body.

    Pulser has no common base for its refusals. Where the body reads what the author wrote, any
    error is one; elsewhere `refusals` names those that are.
    """
    try:
        yield
    except (JobError, MemoryError):
        raise
    except refusals as error:
        raise JobError(f"{what}: {one_line(error)}") from error
