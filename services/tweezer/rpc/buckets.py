"""How often something may happen: token buckets, one for each key."""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

#: Keys that are remembered; those that were not seen for longest are forgotten first.
_MOST_KEYS: Final = 100_000


class Buckets:
    """Gives each key `burst` tokens, and a new one every 1/`per_s` seconds."""

    def __init__(
        self,
        per_s: float,
        burst: float,
        clock: Callable[[], float] = time.monotonic,
        most_keys: int = _MOST_KEYS,
    ) -> None:
        self._per_s, self._burst, self._clock, self._most = per_s, burst, clock, most_keys
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, key: str) -> float:
        """Returns how long it takes until there is a token, in seconds; 0 if there is one."""
        return max(0.0, 1.0 - self._level(key)) / self._per_s

    def take(self, key: str) -> None:
        """Takes a token, whether or not there is one: what is owed comes off the next ones."""
        self._buckets[key] = (self._level(key) - 1.0, self._clock())
        self._buckets.move_to_end(key)
        if len(self._buckets) > self._most:
            self._buckets.popitem(last=False)

    def _level(self, key: str) -> float:
        level, at = self._buckets.get(key, (self._burst, 0.0))
        return min(self._burst, level + (self._clock() - at) * self._per_s)
