"""How long workers have had nothing to do."""

import time


class IdleSince:
    """Remembers how long workers have had nothing to do."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}

    def update(self, idle: set[str]) -> None:
        """Takes the workers without work."""
        now = time.monotonic()
        self._since = {name: self._since.get(name, now) for name in idle}

    def longer_than(self, seconds: float) -> list[str]:
        """Returns those that have had nothing to do for so long, the longest first."""
        now = time.monotonic()
        found = [name for name, since in self._since.items() if now - since >= seconds]
        return sorted(found, key=self._since.__getitem__)
