"""When a process that died is started again."""

import random
from collections import deque
from collections.abc import Callable
from typing import Final

#: More deaths than this within the window mean that starting again does not help.
MAX_DEATHS: Final = 5

#: The window, in seconds.
WINDOW: Final = 60.0

_FIRST_DELAY: Final = 0.2
_LONGEST_DELAY: Final = 10.0


class Restarts:
    """The deaths of one process."""

    def __init__(self, jitter: Callable[[float, float], float] = random.uniform) -> None:
        self._jitter = jitter
        self._deaths: deque[float] = deque(maxlen=MAX_DEATHS + 1)

    def delay_after_death(self, now: float) -> float | None:
        """Records a death and returns how long to wait before the next start, None for ever."""
        self._deaths.append(now)
        recent = sum(1 for death in self._deaths if now - death < WINDOW)
        if recent > MAX_DEATHS:
            return None
        delay = min(_FIRST_DELAY * 2.0 ** (recent - 1), _LONGEST_DELAY)
        return delay * self._jitter(0.5, 1.5)
