"""What Pulser says of a sequence or a configuration. Runs in a checking process only.

Pulser has no common base for its refusals (ValueError, TypeError, KeyError, AttributeError and
schema errors all occur), so in these steps any error of Pulser counts as a refusal.
"""

import json
import time
from collections.abc import Callable, Iterator
from collections.abc import Sequence as Items
from functools import lru_cache
from typing import Any, Final, TypeVar

from pulser import Sequence
from pulser.backend import BitStrings, EmulationConfig
from pulser.backend.remote import RemoteBackend
from pulser.devices import VirtualDevice
from pulser.register.mappable_reg import MappableRegister

from tweezer.batch.checks.facts import Refused
from tweezer.batch.checks.sentences import one_line, sentence_of
from tweezer.batch.checks.timing import timed_by

T = TypeVar("T")

#: Deserialised sequences that are kept for building, and the longest text of one.
SEQUENCES_KEPT: Final = 32
LONGEST_KEPT: Final = 256 * 1024

#: How long sequences may be built to see how long they last, in seconds of computing.
_BUILDING_S: Final = 1.0


def inspect_sequence(text: str, max_variables: int, max_values: int) -> dict[str, Any]:
    """Returns the content of ProgramFacts, or raises Refused."""
    content = _json_object(text)
    if content.get("register") == []:  # the schema allows it, and Pulser then fails
        raise Refused("not a valid Pulser sequence: at register: it is empty")
    _check_variables(content.get("variables"), max_variables, max_values)
    sequence = _read(text)
    register = sequence.get_register(include_mappable=True)
    mappable = isinstance(register, MappableRegister)
    layout = register.layout
    return {
        "device_name": sequence.device.name,
        "needs_values": sequence.is_parametrized() or mappable,
        "variables": {
            name: {"kind": variable.dtype.__name__, "size": variable.size}
            for name, variable in sequence.declared_variables.items()
        },
        "qubit_ids": [str(qubit) for qubit in register.qubit_ids] if mappable else None,
        "atoms": len(register.qubit_ids),
        "traps": 0 if layout is None else layout.number_of_traps,
        "has_instructions": not sequence.is_empty(),
        "virtual": isinstance(sequence.device, VirtualDevice),
        "qpu_refusal": _qpu_refusal(sequence),
        "duration_ns": None if sequence.is_parametrized() else sequence.get_duration(),
        "timed_by": timed_by(content.get("operations")) if sequence.is_parametrized() else [],
    }


def _qpu_refusal(sequence: Sequence[Any]) -> str | None:
    try:
        RemoteBackend.validate_sequence(sequence, mimic_qpu=True)
    except (TypeError, ValueError) as error:
        return one_line(str(error))
    return None


def inspect_configuration(text: str, max_shots: int) -> dict[str, Any]:
    """Checks a serialised EmulationConfig, or raises Refused."""
    _json_object(text)
    config = _blaming("emulation configuration", lambda: EmulationConfig.from_abstract_repr(text))
    shots = [config.default_num_shots]
    shots += [o.num_shots or 0 for o in config.observables if isinstance(o, BitStrings)]
    if max(shots) > max_shots:
        raise Refused(f"asks for {max(shots)} shots, and the limit is {max_shots}")
    return {}


def build_sequence(text: str, variables_json: str) -> dict[str, Any]:
    """Returns the text of a sequence with the values of its variables, or raises Refused."""

    variables = _json_object(variables_json)

    def build() -> str:
        # The schema check of the outcome would only find errors of Pulser itself.
        return _read(text).build(**variables).to_abstract_repr(skip_validation=True)

    return {"sequence": _blaming("set of values", build)}


def measure_durations(text: str, variables_json: Items[str]) -> dict[str, Any]:
    """Returns how long a sequence lasts with each of some sets of values, in ns.

    Those that it cannot be built with, and those there is no time for, are left out: what runs the
    job looks again.
    """
    return {"durations_ns": list(_durations(text, variables_json))}


def _durations(text: str, variables_json: Items[str]) -> Iterator[int | None]:
    until = time.process_time() + _BUILDING_S
    sequence = _read(text)
    for values in variables_json:
        try:
            yield sequence.build(**_json_object(values)).get_duration()
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001 - see the module's text
            yield None
        if time.process_time() > until:
            return


def forget_sequences() -> None:
    """Frees the sequences that are kept."""
    _read_kept.cache_clear()


def _json_object(text: str) -> dict[str, Any]:
    try:
        content = json.loads(text)  # not stricter than Pulser: it takes the token Infinity
    except RecursionError:
        raise Refused("not JSON: it is nested too deeply") from None
    except ValueError as error:
        raise Refused(one_line(f"not JSON: {error}")) from None
    if not isinstance(content, dict):
        raise Refused("must be a JSON object")
    return content


def _check_variables(declared: Any, max_variables: int, max_values: int) -> None:
    if not isinstance(declared, dict):
        return  # the schema check tells
    if len(declared) > max_variables:
        raise Refused(f"declares {len(declared)} variables, and the limit is {max_variables}")
    values = sum(len(v.get("value", ())) for v in declared.values() if isinstance(v, dict))
    if values > max_values:
        raise Refused(f"its variables take {values} values, and the limit is {max_values}")


def _read(text: str) -> Sequence[Any]:
    return _read_kept(text) if len(text) <= LONGEST_KEPT else _deserialise(text)


def _deserialise(text: str) -> Sequence[Any]:
    return _blaming("Pulser sequence", lambda: Sequence.from_abstract_repr(text))


# The same object serves many builds: `build` works on a copy and sets all variables anew.
_read_kept = lru_cache(maxsize=SEQUENCES_KEPT)(_deserialise)


def _blaming(what: str, step: Callable[[], T]) -> T:
    try:
        return step()
    except (Refused, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - see the module's text
        raise Refused(f"not a valid {what}: {sentence_of(error)}") from None
