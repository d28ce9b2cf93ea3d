"""How many jobs are leased ahead."""

import pytest

from tweezer.execution.prefetch import Prefetch


def test_nothing_is_leased_ahead_before_a_job_has_ended() -> None:
    assert Prefetch(capacity=lambda: 8, limit=64).jobs == 0


@pytest.mark.parametrize(
    ("duration_s", "jobs"),
    [(0.02, 50), (0.1, 10), (0.4, 2), (1.0, 1), (2.0, 0), (600.0, 0), (0.0, 64)],
)
def test_half_a_second_of_work_is_leased_ahead(duration_s: float, jobs: int) -> None:
    prefetch = Prefetch(capacity=lambda: 2, limit=64)
    prefetch.learn(duration_s)
    assert prefetch.jobs == jobs


def test_a_long_job_is_noticed() -> None:
    prefetch = Prefetch(capacity=lambda: 2, limit=64)
    for _ in range(100):
        prefetch.learn(0.02)
    prefetch.learn(60.0)
    assert prefetch.jobs == 0
