"""Counts of measured bitstrings."""

import pytest

from tweezer.execution.emulators.counter import exactly


def test_all_shots_stay_when_there_are_as_many() -> None:
    assert exactly(7, {"00": 3, "01": 4}) == {"00": 3, "01": 4}


@pytest.mark.parametrize("shots", [1, 5, 79])
def test_too_many_shots_are_reduced(shots: int) -> None:
    counter = {"00": 30, "01": 40, "11": 10}
    reduced = exactly(shots, counter)
    assert sum(reduced.values()) == shots
    assert all(0 < count <= counter[bits] for bits, count in reduced.items())
