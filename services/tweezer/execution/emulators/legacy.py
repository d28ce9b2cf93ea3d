"""The legacy emulator options, which older clients send as `configuration`."""

import json
from dataclasses import dataclass
from typing import Any, Final

from pulser import NoiseModel

from tweezer.execution.emulators.refusal import blaming_job
from tweezer.execution.emulators.task import JobError

#: Trajectories of a noisy run; Pulser's own number where a device brings its noise model and the
#: configuration names none (`EmulationConfig.n_trajectories`).
TRAJECTORIES: Final = 40

_FLAGS: Final = ("with_noise", "strict_validation")


@dataclass(frozen=True, slots=True)
class LegacyOptions:
    """What `EmuFreeConfig` of the pasqal-cloud client can say."""

    with_noise: bool = False
    """Emulate with `standard_noise`."""
    strict_validation: bool = False
    """Check the job as if it were for a QPU."""


def read_legacy_options(text: str | None, device_type: str) -> LegacyOptions:
    """Reads the options; raises JobError for one that is unknown or has a wrong type.

    An unknown option is refused, not ignored: its author expects it to change the result.
    """
    with blaming_job("The configuration could not be read"):
        options = {} if text is None else json.loads(text)
        if options is not None and not isinstance(options, dict):
            raise TypeError("it is not a JSON object")
    given = {name: value for name, value in (options or {}).items() if value is not None}
    _check_result_types(given.pop("result_types", []), device_type)
    if unknown := sorted(given.keys() - set(_FLAGS)):
        raise JobError(
            f"The configuration has options that {device_type} does not know: {', '.join(unknown)}."
        )
    for name, value in given.items():
        if not isinstance(value, bool):
            raise JobError(f"The option {name} of the configuration must be true or false.")
    return LegacyOptions(**given)


def _check_result_types(wanted: Any, device_type: str) -> None:
    if not isinstance(wanted, list) or any(kind != "counter" for kind in wanted):
        raise JobError(f"The only result type of {device_type} is counter.")


def standard_noise() -> NoiseModel:
    """Returns the noise that `with_noise` stands for.

    The values are the defaults of Pulser's SimConfig (pulser-simulation 1.9, deprecated there)
    for SPAM, doppler and amplitude noise.
    """
    return NoiseModel(
        state_prep_error=0.005,
        p_false_pos=0.01,
        p_false_neg=0.05,
        temperature=50.0,
        laser_waist=175.0,
        amp_sigma=0.05,
    )
