"""Progress of a noisy emulation, read from what Pulser prints."""

import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Final

from tweezer.execution.emulators.registry import Report

#: Lines of `QutipConfig(print_progress=True)`, which names the trajectories it starts with:
#: "Emulating Trajectory 3/40" or "Emulating Trajectories [3 - 7]/40".
_LINE: Final = re.compile(r"Emulating Trajector(?:y |ies \[)(\d+)(?: - \d+\])?/(\d+)")


@contextmanager
def reporting_trajectories(report: Report, start: int, end: int) -> Iterator[None]:
    """Spreads the trajectories that the body emulates over `start` to `end` percent.

    Everything else that the body prints is dropped.
    """

    def follow(line: str) -> None:
        if match := _LINE.match(line):
            first, total = (int(number) for number in match.groups())
            report(start + (end - start) * (first - 1) // max(total, 1))

    with redirect_stdout(_Lines(follow)):
        yield


class _Lines(io.TextIOBase):
    """Hands each line that is printed to a function."""

    def __init__(self, follow: Callable[[str], None]) -> None:
        super().__init__()
        self._follow, self._begun = follow, ""

    def write(self, text: str) -> int:
        """Takes a piece of output."""
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            self._follow(line)
        return len(text)
