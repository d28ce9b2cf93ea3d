"""From what a job says to the configuration of Pulser's QuTiP backend."""

import inspect
import json
from typing import Any, Final, cast

from pulser.backend import BackendConfig, BitStrings
from pulser_simulation import QutipConfig

from tweezer.execution.emulators.legacy import TRAJECTORIES, LegacyOptions, standard_noise
from tweezer.execution.emulators.program import AnySequence
from tweezer.execution.emulators.refusal import blaming_job
from tweezer.execution.emulators.task import JobError, Limits, Task

#: Shots where nothing says how many: the default of Pulser's `default_num_shots`.
DEFAULT_SHOTS: Final = 1000

#: State that measures as 1 in each measurement basis.
_ONE_STATES: Final = {"ground-rydberg": "r", "digital": "h"}


def configure(task: Task, options: LegacyOptions, sequence: AnySequence) -> QutipConfig:
    """Returns the configuration that a job asks for, or raises JobError."""
    if task.backend_configuration is not None:
        if options.with_noise:
            raise JobError(
                "The option with_noise cannot be combined with a backend configuration: "
                "put the noise model into the backend configuration."
            )
        config = _read(task.backend_configuration, task.limits)
        config = _with_shots(config, task.runs)
    else:
        config = _measurement(shots_of(task), options, sequence)
    _check_size(config, task)
    # Pulser prints which trajectory it is at; this costs nothing and moves the progress.
    return config.with_changes(print_progress=True, progress_bar=False)


def shots_of(task: Task) -> int:
    """Returns the number of shots of a job without a backend configuration."""
    return DEFAULT_SHOTS if task.runs is None else task.runs


def _measurement(shots: int, options: LegacyOptions, sequence: AnySequence) -> QutipConfig:
    observables = [BitStrings(evaluation_times=[1.0], one_state=_one_state(sequence))]
    if not options.with_noise:
        return QutipConfig(observables=observables, default_num_shots=shots)
    # Each trajectory is measured equally often, so there may be some shots too many: see
    # `counter.exactly`.
    trajectories = min(shots, TRAJECTORIES)
    return QutipConfig(
        observables=observables,
        default_num_shots=-(-shots // trajectories),
        noise_model=standard_noise(),
        n_trajectories=trajectories,
    )


def _one_state(sequence: AnySequence) -> Any:
    # With two states per atom Pulser knows which is measured as 1. Where a sequence uses three,
    # its measurement says it.
    if len(sequence.get_addressed_bases()) < 2 or not sequence.is_measured():
        return None
    return _ONE_STATES[sequence.get_measurement_basis()]


def _read(text: str, limits: Limits) -> QutipConfig:
    with blaming_job("The backend configuration could not be read"):
        # Pulser writes the token Infinity where an option is infinite; json reads it.
        content = json.loads(text)
        if not isinstance(content, dict):
            raise TypeError("it is not a JSON object")
    _refuse_unknown(content)
    with blaming_job("The backend configuration is not valid"):
        _refuse_large_operands(content, limits.max_atoms)
        return cast(QutipConfig, QutipConfig.from_abstract_repr(text))


def _refuse_unknown(content: dict[str, Any]) -> None:
    known = {
        name
        for kind in QutipConfig.__mro__
        if issubclass(kind, BackendConfig)
        for name, parameter in inspect.signature(kind).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    if unknown := sorted(content.keys() - known):
        raise JobError(
            "The backend configuration has options that EMU_FREE does not know: "
            f"{', '.join(unknown)}."
        )


def _refuse_large_operands(content: dict[str, Any], max_atoms: int) -> None:
    # States and operators are built in full before anything compares them with the register.
    for holder in (content, *content.get("observables", ())):
        for state in (holder.get("initial_state"), holder.get("state")):
            if any(len(levels) > max_atoms for levels in (state or {}).get("amplitudes", ())):
                raise ValueError(f"a state has more than {max_atoms} atoms")
        if (holder.get("operator") or {}).get("n_qudits", 0) > max_atoms:
            raise ValueError(f"an operator has more than {max_atoms} atoms")


def _with_shots(config: QutipConfig, runs: int | None) -> QutipConfig:
    # Clients send runs=1 beside a configuration when the user says nothing about shots, so 1
    # means the same as nothing: the configuration decides. A BitStrings observable with its own
    # number of shots keeps it in any case; that is how Pulser treats default_num_shots.
    if runs is None or runs == 1:
        return config
    return config.with_changes(default_num_shots=runs)


def _check_size(config: QutipConfig, task: Task) -> None:
    shots = [task.runs or 0, config.default_num_shots]
    shots += [o.num_shots or 0 for o in config.observables if isinstance(o, BitStrings)]
    if max(shots) > task.limits.max_shots:
        raise JobError(
            f"The job asks for {max(shots)} shots, and the limit is {task.limits.max_shots}."
        )
    if config.n_trajectories > task.limits.max_trajectories:
        raise JobError(
            f"The job asks for {config.n_trajectories} noise trajectories, "
            f"and the limit is {task.limits.max_trajectories}."
        )
