"""Waits until the processes have nothing more to tell each other."""

import time
from collections.abc import Iterable

from breaking.books import Books
from breaking.deployment import Deployment
from breaking.service import PATIENCE_S

#: How often the books are read, in seconds: they give no sign when they change.
_REREAD_S = 0.2


def come_to_rest(
    deployment: Deployment, unfinished: Iterable[str] = (), within_s: float = PATIENCE_S
) -> Books:
    """Returns the books once nothing is wrong with them; fails when that does not come about."""
    deadline = time.monotonic() + within_s
    while True:
        books = Books.read(deployment)
        problems = books.problems(unfinished)
        if not problems:
            return books
        assert time.monotonic() < deadline, "\n".join(problems)
        time.sleep(_REREAD_S)
