"""Emulations without noise that a worker keeps for the tasks that repeat them."""

from collections import OrderedDict
from typing import Final, TypeAlias

from tweezer.execution.emulators.fast_qutip import FastBackend
from tweezer.execution.emulators.task import Task

#: Memory that the kept emulations may take together, in bytes, by the estimate of `memory`.
_MAX_BYTES: Final = 256 * 1024 * 1024

#: How many are kept; the tasks of one batch come together.
_MAX_KEPT: Final = 32

#: All of a task that decides about its states.
Key: TypeAlias = tuple[str | bool | int | None, ...]


def key_of(task: Task) -> Key:
    """Returns what two tasks have in common when they differ in nothing but shots."""
    return (
        task.device_type,
        task.sequence,
        task.variables_json,
        task.backend_configuration,
        task.configuration_json,
        task.integrator,
    )


class KeptBackends:
    """The emulations used last, bounded in number and size."""

    def __init__(self, max_bytes: int = _MAX_BYTES, max_kept: int = _MAX_KEPT) -> None:
        self._max_bytes, self._max_kept = max_bytes, max_kept
        self._kept: OrderedDict[Key, tuple[FastBackend, int]] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        """How many there are."""
        return len(self._kept)

    def find(self, key: Key) -> FastBackend | None:
        """Returns an emulation that has been kept."""
        if key not in self._kept:
            return None
        self._kept.move_to_end(key)
        return self._kept[key][0]

    def keep(self, key: Key, backend: FastBackend, size_bytes: int) -> None:
        """Keeps an emulation, unless it is too large."""
        if size_bytes > self._max_bytes or key in self._kept:
            return
        self._kept[key] = backend, size_bytes
        self._bytes += size_bytes
        while self._bytes > self._max_bytes or len(self._kept) > self._max_kept:
            _, (_, dropped_bytes) = self._kept.popitem(last=False)
            self._bytes -= dropped_bytes

    def clear(self) -> None:
        """Drops all of them."""
        self._kept.clear()
        self._bytes = 0
