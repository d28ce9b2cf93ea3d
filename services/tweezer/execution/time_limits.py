"""How long a job may run."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from tweezer.execution.emulators.task import JobError

T = TypeVar("T")


class TimeLimits:
    """Knows how long a job may run on a device of each type."""

    def __init__(self, limit_s: float, of_device_types: Mapping[str, float]) -> None:
        self._limit_s, self._of_device_types = limit_s, of_device_types

    def of(self, device_type: str) -> float:
        """Returns the limit in seconds; infinite where there is none."""
        return self._of_device_types.get(device_type, self._limit_s)

    async def run(
        self,
        device_type: str,
        work: Callable[[Callable[[int], None]], Awaitable[T]],
        on_progress: Callable[[int], None],
    ) -> T:
        """Awaits `work`, which is cancelled when it takes too long.

        The time counts from the first report of progress, with which a worker begins: a job that
        waits for a free worker is not running.

        Raises:
            JobError: It took too long.
        """
        limit_s = self.of(device_type)
        if math.isinf(limit_s):
            return await work(on_progress)
        clock = asyncio.get_running_loop().time
        timeout = asyncio.timeout(None)

        def follow(percentage: int) -> None:
            # A late report may come in after the time is over.
            if timeout.when() is None and not timeout.expired():
                timeout.reschedule(clock() + limit_s)
            on_progress(percentage)

        try:
            async with timeout:
                return await work(follow)
        except TimeoutError:
            if not timeout.expired():
                raise
            raise JobError(f"The job was stopped at the time limit of {limit_s:.15g} s.") from None
