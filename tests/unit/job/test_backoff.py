from itertools import islice

from tweezer.job.backoff import backoff


def test_waits_grow_to_a_limit_and_are_random() -> None:
    waits = [list(islice(backoff(first=1, longest=8), 6)) for _ in range(50)]
    for ceiling, column in zip((1, 2, 4, 8, 8, 8), zip(*waits, strict=True), strict=True):
        assert all(ceiling / 2 <= wait <= ceiling for wait in column)
        assert len(set(column)) > 1
