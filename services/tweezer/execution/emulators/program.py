"""From the text of a sequence to one that can be emulated."""

import json
from functools import lru_cache
from typing import Any, Final, TypeAlias

from pulser import Sequence

from tweezer.execution.emulators.refusal import blaming_job
from tweezer.execution.emulators.task import JobError, Task

#: A sequence for whatever device.
AnySequence: TypeAlias = "Sequence[Any]"

#: Deserialised sequences that a worker keeps. Reading one takes longer than building it.
SEQUENCES_KEPT: Final = 32

#: Built sequences that a worker keeps for the jobs that repeat them.
BUILT_KEPT: Final = 8


@lru_cache(maxsize=SEQUENCES_KEPT)
def read_sequence(text: str) -> AnySequence:
    """Deserialises a sequence.

    The same object serves many jobs: `build` works on a copy, and sets the values of all
    variables again each time; emulating reads only.
    """
    with blaming_job("The sequence could not be read"):
        return Sequence.from_abstract_repr(text)


def build_sequence(task: Task) -> AnySequence:
    """Returns the task's sequence with its variables set, or raises JobError."""
    sequence = _built(task.sequence, task.variables_json)
    # A job that repeats another may carry the built sequence beside the values it was built with;
    # those are for display. Values that belong to nothing were refused when the job came in.
    _check_size(sequence, task.limits.max_atoms)
    _check_duration(sequence, task.limits.max_sequence_ns)
    return sequence


@lru_cache(maxsize=BUILT_KEPT)
def _built(text: str, variables_json: str | None) -> AnySequence:
    sequence = read_sequence(text)
    variables = _variables(variables_json)
    if sequence.is_parametrized() or sequence.is_register_mappable():
        # Identifiers of qubits are always text here, in the abstract representation as in JSON.
        with blaming_job("The sequence could not be built with these variables"):
            _refuse_unknown(variables, sequence)
            sequence = sequence.build(**variables)
    return sequence


def _variables(text: str | None) -> dict[str, Any]:
    with blaming_job("The variables could not be read"):
        variables = {} if text is None else json.loads(text)
        if variables is not None and not isinstance(variables, dict):
            raise TypeError("they are not a JSON object")
    return variables or {}


def _refuse_unknown(variables: dict[str, Any], sequence: AnySequence) -> None:
    # Pulser only warns, and a mistyped name would go unnoticed.
    unknown = variables.keys() - sequence.declared_variables.keys() - {"qubits"}
    if unknown:
        raise ValueError(f"the sequence declares no {', '.join(sorted(unknown))}")


def _check_size(sequence: AnySequence, max_atoms: int) -> None:
    atoms = len(sequence.register.qubit_ids)
    if atoms > max_atoms:
        raise JobError(
            f"The register has {atoms} atoms, and this device emulates at most {max_atoms}."
        )


def _check_duration(sequence: AnySequence, max_ns: int) -> None:
    duration_ns = sequence.get_duration()
    if duration_ns > max_ns:
        raise JobError(
            f"The sequence lasts {duration_ns} ns, and this device emulates at most {max_ns} ns."
        )
