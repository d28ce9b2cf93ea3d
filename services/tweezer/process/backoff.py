"""How long to wait between attempts at something that fails."""

import random
from typing import Final

_FIRST_S: Final = 0.1
_LONGEST_S: Final = 5.0


class Backoff:
    """Waiting times that double from the first to the longest, in seconds.

    Each is drawn at random between half and the whole of it, so that processes that lost the same
    neighbour do not come back in step.
    """

    def __init__(self, first_s: float = _FIRST_S, longest_s: float = _LONGEST_S) -> None:
        self._first_s, self._longest_s = first_s, longest_s
        self._next_s = first_s
        self._failed = False

    @property
    def is_first(self) -> bool:
        """Whether nothing has failed since the last success."""
        return not self._failed

    def wait_s(self) -> float:
        """Takes note of a failure and returns how long to wait, in seconds."""
        wait_s = self._next_s
        self._failed = True
        self._next_s = min(2 * wait_s, self._longest_s)
        # Spreads attempts; nobody gains by guessing it.
        return random.uniform(wait_s / 2, wait_s)  # nosec B311

    def reset(self) -> None:
        """Starts anew after a success."""
        self._next_s = self._first_s
        self._failed = False
