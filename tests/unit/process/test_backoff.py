"""Waits between attempts."""

from tweezer.process.backoff import Backoff


def test_waits_double_up_to_a_bound_and_start_anew() -> None:
    backoff = Backoff()
    assert backoff.is_first
    waits = [backoff.wait_s() for _ in range(20)]
    for number, wait_s in enumerate(waits):
        full = min(0.1 * 2**number, 5.0)
        assert full / 2 <= wait_s <= full
    assert not backoff.is_first
    backoff.reset()
    assert backoff.is_first
    assert backoff.wait_s() <= 0.1
