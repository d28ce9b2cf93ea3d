"""What is remembered of a sequence that Pulser has accepted."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self


class Refused(Exception):
    """Pulser, or a limit, refuses the text; the message is one sentence for its author."""


@dataclass(frozen=True, slots=True)
class VariableFacts:
    """A declared variable."""

    kind: Literal["int", "float"]
    size: int


@dataclass(frozen=True, slots=True)
class ProgramFacts:
    """What the checks of a batch must know of a sequence."""

    device_name: str
    needs_values: bool
    """Whether it must be built: it is parametrised or its register is mappable."""
    variables: Mapping[str, VariableFacts]
    qubit_ids: tuple[str, ...] | None
    """Qubits of a mappable register; None when the register is fixed."""
    atoms: int
    """Size of the register; of a mappable one the most it can have."""
    traps: int
    """Traps of the layout; 0 without one."""
    has_instructions: bool
    """Whether any channel is told to do something."""
    virtual: bool
    """Whether its device is one that no machine could be."""
    qpu_refusal: str | None
    """Why Pulser would not send it to a QPU."""
    duration_ns: int | None = None
    """How long it lasts; None when variables may decide."""
    timed_by: tuple[str, ...] = ()
    """Variables that may have a say in how long it lasts."""

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Makes it of what the checking process answers."""
        qubit_ids = content["qubit_ids"]
        return cls(
            device_name=content["device_name"],
            needs_values=content["needs_values"],
            variables={n: VariableFacts(**facts) for n, facts in content["variables"].items()},
            qubit_ids=None if qubit_ids is None else tuple(qubit_ids),
            atoms=content["atoms"],
            traps=content["traps"],
            has_instructions=content["has_instructions"],
            virtual=content["virtual"],
            qpu_refusal=content["qpu_refusal"],
            duration_ns=content["duration_ns"],
            timed_by=tuple(content["timed_by"]),
        )
