"""Waits between attempts at something that fails."""

import asyncio
import random
from typing import Final

#: The first wait in seconds, and how often it doubles.
_FIRST_WAIT: Final = 0.1
_DOUBLINGS: Final = 5


class Backoff:
    """Waits longer after each failure in a row, and never for exactly as long as others do."""

    def __init__(self) -> None:
        self._failures = 0

    @property
    def is_first(self) -> bool:
        """Whether the last attempt but this one went well."""
        return self._failures == 0

    def succeeded(self) -> None:
        """Starts over."""
        self._failures = 0

    async def wait(self) -> None:
        """Waits after a failure."""
        longest = _FIRST_WAIT * 2 ** min(self._failures, _DOUBLINGS)
        self._failures += 1
        await asyncio.sleep(longest * random.uniform(0.5, 1.0))
