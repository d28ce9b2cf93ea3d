"""Numbers of rows, which take long to count when there are many."""

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Final

#: So few rows that take no longer than this to count, in seconds, are counted anew each time.
_FEW: Final = 10_000
_QUICK_S: Final = 0.005
#: A number is remembered for as many times as long as it took to count,
_TIMES_AS_LONG: Final = 20
#: but at least and at most for so long, in seconds.
_SHORTEST_S: Final = 1.0
_LONGEST_S: Final = 5.0
#: How many numbers are remembered.
_MOST: Final = 256


class Totals:
    """Counts rows, and remembers for a while what took long to count.

    A database counts by looking at each entry of an index, some tens of milliseconds for a million.
    So a list of few is counted each time, and the number of many may be some moments old, a second
    for a million. That way counting takes a small part of the time, however often a list is read.
    """

    def __init__(self, seconds: Callable[[], float] = time.perf_counter) -> None:
        self._seconds = seconds
        self._lock = Lock()  # databases read in several threads
        self._known: OrderedDict[Hashable, tuple[float, int]] = OrderedDict()

    def of(self, key: Hashable, count: Callable[[], int]) -> int:
        """Returns the number that is remembered under a key, or counts."""
        began = self._seconds()
        with self._lock:
            until, total = self._known.get(key, (began, 0))
        if until > began:
            return total
        total = count()
        ended = self._seconds()
        with self._lock:
            self._known.pop(key, None)
            if total > _FEW or ended - began > _QUICK_S:
                lasts = (ended - began) * _TIMES_AS_LONG
                lasts = min(max(lasts, _SHORTEST_S), _LONGEST_S)
                self._known[key] = ended + lasts, total
                if len(self._known) > _MOST:
                    self._known.popitem(last=False)
        return total
