"""How many jobs to lease beyond those that run."""

from collections.abc import Callable
from typing import Final

#: Work to have in hand, in seconds of all workers: enough to outlast a slow answer.
_IN_HAND_S: Final = 0.5

#: Weight of the newest job in the mean.
_WEIGHT: Final = 0.2


class Prefetch:
    """Learns how long jobs take.

    Workers must not idle while the next job is fetched, which counts when jobs take milliseconds.
    Long jobs, on the other hand, should not wait here while another service has a free worker; so
    nothing is fetched ahead before it is known that jobs are short.
    """

    def __init__(self, capacity: Callable[[], int], limit: int) -> None:
        self._capacity, self._limit = capacity, limit
        self._mean_s: float | None = None

    def learn(self, duration_s: float) -> None:
        """Takes the time that a worker spent on a job, in seconds."""
        if self._mean_s is None:
            self._mean_s = duration_s
        else:
            self._mean_s += _WEIGHT * (duration_s - self._mean_s)

    @property
    def jobs(self) -> int:
        """How many jobs to lease beyond those that run."""
        if self._mean_s is None:
            return 0
        in_hand = self._capacity() * _IN_HAND_S / max(self._mean_s, 1e-3)
        return min(int(in_hand), self._limit)
