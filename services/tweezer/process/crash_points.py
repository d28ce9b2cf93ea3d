"""Named places between two durable steps, at which tests end the process.

They do nothing by themselves: no setting arms them, only a call of `arm`, which no code of ours
makes outside the tests.
"""

from collections.abc import Callable

Hook = Callable[[str], None]


def _pass(name: str) -> None:
    """Goes on."""


_hook: Hook = _pass


def crash_point(name: str) -> None:
    """Marks a place between two durable steps: what follows must be made up for after a crash."""
    _hook(name)


def arm(hook: Hook) -> None:
    """Has a hook called at each crash point of this process from now on, with its name."""
    global _hook
    _hook = hook
