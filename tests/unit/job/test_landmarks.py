from itertools import pairwise

import pytest

from tweezer.job.landmarks import LandmarkMemory, Landmarks, Moment
from tweezer.job.store.landmarks import BEGINNING, END

NOW = Moment(1_000_000_000, 50.0)


def landmarks(rows: int, step: int) -> Landmarks:
    """Returns the landmarks of a list whose row of rank n has the key (n, n)."""
    keys = tuple((rank, rank) for rank in range(step - 1, rows, step))
    return Landmarks(step, 0, NOW, keys=keys)


@pytest.mark.parametrize("step", [1, 2, 3, 7])
def test_every_row_is_found_from_the_nearest_landmark(step: int) -> None:
    total = 23
    for known in range(total + 1):
        marks = landmarks(known, step)
        assert marks.rows == known - known % step
        for rank in range(total):
            key, others = marks.before(rank)
            older = -1 if key == BEGINNING else key[0]
            assert older + 1 + others == rank
            key, others = marks.after(rank, total)
            newer = total - 1 if key == END else key[0]
            assert newer - others == rank
            if rank < marks.rows:
                assert max(marks.before(rank)[1], others) < step


def test_the_newest_landmark_is_the_last_one() -> None:
    assert landmarks(1, 2).newest == BEGINNING
    assert landmarks(5, 2).newest == (3, 3)
    assert all(a < b for a, b in pairwise(landmarks(9, 2).keys))


def later(seconds: float, clock: float | None = None) -> Moment:
    clock = seconds if clock is None else clock
    return Moment(NOW.clock + round(clock * 1_000_000), NOW.seconds + seconds)


def test_landmarks_hold_until_the_next_rewrite_or_until_the_clock_is_set() -> None:
    marks = Landmarks(5, 3, NOW)
    assert marks.hold(3, NOW)
    assert marks.hold(3, later(100_000))
    assert not marks.hold(4, NOW)
    assert not marks.hold(3, later(100, clock=100 - 31))
    assert not marks.hold(3, later(100, clock=100 + 31))
    assert marks.hold(3, later(100, clock=100 + 29))


def test_what_took_long_to_find_is_not_searched_again_at_once() -> None:
    assert not Landmarks(5, 3, NOW).are_too_young(NOW)
    marks = Landmarks(5, 3, NOW, spent_s=0.5)
    assert marks.are_too_young(later(9))
    assert not marks.are_too_young(later(10))


def test_the_lists_asked_for_last_are_remembered() -> None:
    memory = LandmarkMemory(2)
    a, b, c = (landmarks(number, 1) for number in range(3))
    memory.keep("a", a)
    memory.keep("b", b)
    assert memory.of("a") is a
    memory.keep("c", c)
    assert [memory.of(key) for key in "abc"] == [a, None, c]
    memory.keep("a", b)
    assert [memory.of(key) for key in "ac"] == [b, c]
