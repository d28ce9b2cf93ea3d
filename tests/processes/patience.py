"""Waits for what nothing tells of."""

import time
from collections.abc import Callable

#: How long anything may take that ends by itself, in seconds.
PATIENCE = 120


def until(reached: Callable[[], bool]) -> None:
    """Asks again and again until the answer is yes; fails after PATIENCE."""
    deadline = time.monotonic() + PATIENCE
    while not reached():
        assert time.monotonic() < deadline, "it never came to that"
