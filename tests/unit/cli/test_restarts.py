import pytest

from tweezer.cli.restarts import MAX_DEATHS, WINDOW, Restarts


def upper(_: float, high: float) -> float:
    return high


def lower(low: float, _: float) -> float:
    return low


def test_deaths_in_a_short_time_lengthen_the_wait_and_end_it():
    restarts = Restarts(jitter=upper)
    delays = [restarts.delay_after_death(float(second)) for second in range(MAX_DEATHS + 1)]
    assert delays[-1] is None
    waits = [delay for delay in delays if delay is not None]
    assert waits == sorted(waits)
    assert waits[0] == pytest.approx(0.3)
    assert len(waits) == MAX_DEATHS


def test_deaths_far_apart_do_not_add_up():
    restarts = Restarts(jitter=lower)
    delays = [restarts.delay_after_death(n * (WINDOW + 1)) for n in range(3 * MAX_DEATHS)]
    assert delays == pytest.approx([0.1] * len(delays))


def test_waits_of_processes_that_die_together_differ():
    assert len({Restarts().delay_after_death(0.0) for _ in range(20)}) > 1
