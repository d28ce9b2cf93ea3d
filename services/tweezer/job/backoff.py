"""How long to wait before trying again."""

import random
from collections.abc import Iterator
from typing import Final

_FIRST: Final = 0.1
_LONGEST: Final = 10.0


def backoff(first: float = _FIRST, longest: float = _LONGEST) -> Iterator[float]:
    """Yields seconds to wait: longer each time, and random, so that many do not return at once."""
    ceiling = first
    while True:
        yield random.uniform(ceiling / 2, ceiling)
        ceiling = min(2 * ceiling, longest)
