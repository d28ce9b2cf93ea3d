"""Lease tokens: `<number of the job>.<secret>`.

Workers take them as opaque. The number finds the row through its key, so that no index on tokens
is needed; the secret, new with every lease, makes the token impossible to guess and never reused.
"""

import secrets
from typing import Final

_SEPARATOR: Final = "."

#: More digits than a 64-bit number has cannot be the number of a job.
_MOST_DIGITS: Final = 18


def new_secret() -> str:
    """Returns the end of the tokens of a lease: to be appended to the number of each job."""
    return _SEPARATOR + secrets.token_urlsafe(24)


def job_number(token: str) -> int | None:
    """Returns the number of the job that a token is for, or None when it is no token of ours."""
    number, _, secret = token.partition(_SEPARATOR)
    if not secret or len(number) > _MOST_DIGITS or not (number.isascii() and number.isdigit()):
        return None
    return int(number)
