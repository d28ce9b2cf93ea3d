"""Places in a long list, remembered so that a page far from both ends is found at once."""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from threading import Lock
from typing import Final

from tweezer.job.store.landmarks import BEGINNING, END, Key

#: Beginning anew is put off for as many times as long as it took.
_TIMES_AS_LONG: Final = 20

#: How far the clock may run from what has passed, in microseconds: half a grace.
_CLOCK_LEEWAY: Final = 30_000_000


@dataclass(frozen=True, slots=True)
class Moment:
    """A time, by the clock and by what cannot be set."""

    clock: int  #: microseconds
    seconds: float

    def agrees(self, other: "Moment") -> bool:
        """Says whether the clock was not set between two moments."""
        passed = round((self.seconds - other.seconds) * 1_000_000)
        return abs(self.clock - other.clock - passed) <= _CLOCK_LEEWAY


@dataclass(frozen=True, slots=True)
class Landmarks:
    """The keys of every so many-th row of a list, counted from the oldest.

    They hold while the project has had no more rewrites. Some 25 kB for a million rows.
    """

    step: int
    rewrites: int
    begun: Moment
    spent_s: float = 0.0  #: on finding them
    keys: tuple[Key, ...] = ()

    @property
    def newest(self) -> Key:
        """The last of the keys."""
        return self.keys[-1] if self.keys else BEGINNING

    @property
    def rows(self) -> int:
        """How many rows there are up to the last of the keys."""
        return len(self.keys) * self.step

    def hold(self, rewrites: int, now: Moment) -> bool:
        """Says whether they are still true."""
        return self.rewrites == rewrites and now.agrees(self.begun)

    def are_too_young(self, now: Moment) -> bool:
        """Says whether finding them again now would take too large a part of the time."""
        return now.seconds < self.begun.seconds + self.spent_s * _TIMES_AS_LONG

    def before(self, rank: int) -> tuple[Key, int]:
        """Returns the last key before a row, and how many others are between them.

        `rank` is the number of rows that are older.
        """
        known = min(rank // self.step, len(self.keys))
        return self.keys[known - 1] if known else BEGINNING, rank - known * self.step

    def after(self, rank: int, total: int) -> tuple[Key, int]:
        """Returns the first key at or after a row, and how many rows are above the row up to it."""
        known = rank // self.step
        if known < len(self.keys):
            return self.keys[known], (known + 1) * self.step - 1 - rank
        return END, total - 1 - rank


class LandmarkMemory:
    """Keeps the landmarks of the lists that were last asked for.

    Two threads may find those of one list at the same time; either result is as good.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = Lock()
        self._lists: OrderedDict[Hashable, Landmarks] = OrderedDict()

    def of(self, key: Hashable) -> Landmarks | None:
        """Returns what is remembered under a key."""
        with self._lock:
            found = self._lists.get(key)
            if found is not None:
                self._lists.move_to_end(key)
            return found

    def keep(self, key: Hashable, landmarks: Landmarks) -> None:
        """Remembers landmarks, and forgets those that nobody has asked for the longest."""
        with self._lock:
            self._lists[key] = landmarks
            self._lists.move_to_end(key)
            if len(self._lists) > self._most:
                self._lists.popitem(last=False)
