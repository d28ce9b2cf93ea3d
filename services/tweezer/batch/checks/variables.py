"""Checks the values that a job gives to the variables of its sequence."""

import math
import sys
from collections.abc import Mapping
from typing import Any, Final

from tweezer.batch.checks.facts import ProgramFacts, VariableFacts
from tweezer.rpc.errors import InvalidInput

#: The entry that places the qubits of a mappable register.
QUBITS: Final = "qubits"

#: Largest numbers that Pulser can store.
_LARGEST: Final[Mapping[str, float]] = {"int": 2**63 - 1, "float": sys.float_info.max}

#: Longest name that is repeated in a message, in characters.
_LONGEST_NAME: Final = 64


def check_variables(
    field: str, values: dict[str, Any], facts: ProgramFacts, max_atoms: int | None
) -> None:
    """Raises InvalidInput unless the values are those that the sequence needs.

    `field` is the path of the variables, as in `jobs[3].variables`.
    """
    if not facts.needs_values:
        if values:
            raise InvalidInput(field, "the sequence has no variables")
        return
    for name in values:
        if name != QUBITS and name not in facts.variables:
            raise InvalidInput(_path(field, name), "the sequence declares no such variable")
    _check_qubits(f"{field}.{QUBITS}", values, facts, max_atoms)
    for name, variable in facts.variables.items():
        if name not in values:
            raise InvalidInput(_path(field, name), "a value is missing")
        _check_value(_path(field, name), values[name], variable)


def _path(field: str, name: str) -> str:
    return f"{field}.{name[:_LONGEST_NAME]}"


def _check_value(field: str, value: Any, variable: VariableFacts) -> None:
    # Pulser takes a bare number for a variable of size 1.
    values = value if isinstance(value, list) else [value]
    for item in values:
        _check_number(field, item, variable.kind)
    if len(values) != variable.size:
        raise InvalidInput(field, f"needs {_count(variable.size, 'value')}, not {len(values)}")


def _check_number(field: str, value: Any, kind: str) -> None:
    # Pulser itself would take texts and booleans for numbers and cut off decimals.
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidInput(field, f"must be a number or a list of numbers, not {_name(value)}")
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidInput(field, f"must be finite, not {value}")
        if kind == "int" and not value.is_integer():
            raise InvalidInput(field, f"must be a whole number, not {value}")
    if abs(value) > _LARGEST[kind]:
        raise InvalidInput(field, "is too large for a number of 64 bits")


def _check_qubits(
    field: str, values: dict[str, Any], facts: ProgramFacts, max_atoms: int | None
) -> None:
    if facts.qubit_ids is None:
        if QUBITS in values:
            raise InvalidInput(field, "the register of the sequence is not mappable")
        return
    if QUBITS not in values:
        raise InvalidInput(field, "is needed, because the register of the sequence is mappable")
    traps = values[QUBITS]
    if not isinstance(traps, dict) or not traps:
        raise InvalidInput(field, "must be an object with a trap index for each qubit")
    _check_mapping(field, traps, facts)
    if max_atoms is not None and len(traps) > max_atoms:
        raise InvalidInput(
            field, f"maps {len(traps)} qubits, and the device takes at most {max_atoms} atoms"
        )


def _check_mapping(field: str, traps: dict[str, Any], facts: ProgramFacts) -> None:
    known = facts.qubit_ids or ()
    for qubit, trap in traps.items():
        path = _path(field, qubit)
        if qubit not in known:
            raise InvalidInput(path, "the register has no such qubit")
        if isinstance(trap, bool) or not isinstance(trap, int) or not 0 <= trap < facts.traps:
            raise InvalidInput(path, f"must be the index of a trap, 0 to {facts.traps - 1}")
    if len(set(traps.values())) < len(traps):
        raise InvalidInput(field, "two qubits cannot share a trap")
    if set(traps) != set(known[: len(traps)]):
        raise InvalidInput(
            field, f"must map the first {_count(len(traps), 'qubit')} of the register"
        )


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _name(value: Any) -> str:
    names = {bool: "a boolean", str: "a text", list: "a list", dict: "an object"}
    return names.get(type(value), "null")
