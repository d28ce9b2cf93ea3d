"""Which faults a run suffers: a pure function of its seed."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from breaking.deployment import NAMES

#: A worker process of an execution service.
WORKER: Final = "worker"

#: The server with the databases.
SERVER: Final = "database server"

#: Mean time from one fault to the next, in seconds.
_PAUSE_S: Final = 1.3

#: Longer than a lease.
_FROZEN_S: Final = (2.5, 4.5)
_DOWN_S: Final = (0.0, 1.5)


class Kind(StrEnum):
    """What is done to a process."""

    KILL = "kill -9"
    FREEZE = "SIGSTOP, past the lease"
    RESTART = "stop and start"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong."""

    pause_s: float
    """Since the fault before."""
    kind: Kind
    target: str
    lasts_s: float

    def __str__(self) -> str:
        return f"{self.kind} of {self.target} for {self.lasts_s:.1f} s"


def plan(
    seed: int, number: int, names: Sequence[str] = NAMES, *, with_server: bool = False
) -> list[Fault]:
    """Returns a number of faults: every kind for every process, and others at random."""
    chance = random.Random(seed)
    kinds = [(kind, name) for kind in Kind for name in names]
    kinds += [(Kind.KILL, WORKER), (Kind.KILL, WORKER), (Kind.FREEZE, WORKER)]
    if with_server:
        kinds += [(Kind.KILL, SERVER), (Kind.RESTART, SERVER)]
    chosen = kinds + chance.choices(kinds, k=number - len(kinds))
    chance.shuffle(chosen)
    return [_fault(kind, target, chance) for kind, target in chosen]


def _fault(kind: Kind, target: str, chance: random.Random) -> Fault:
    lasts_s = chance.uniform(*(_FROZEN_S if kind is Kind.FREEZE else _DOWN_S))
    return Fault(chance.uniform(0, 2 * _PAUSE_S), kind, target, lasts_s)
