"""From what a job says to the configuration of Pulser's QuTiP backend."""

import inspect
import json
from dataclasses import replace
from typing import Any, Final, cast

from pulser import NoiseModel
from pulser.backend import BackendConfig, BitStrings
from pulser_simulation import QutipConfig
from pulser_simulation.simulation import Solver

from tweezer.execution.emulators.legacy import TRAJECTORIES, LegacyOptions, standard_noise
from tweezer.execution.emulators.program import AnySequence
from tweezer.execution.emulators.refusal import blaming_job
from tweezer.execution.emulators.task import JobError, Task

#: Shots where nothing says how many: the default of Pulser's `default_num_shots`.
DEFAULT_SHOTS: Final = 1000

#: Atoms up to which noise without trajectories of its own, such as dephasing, is solved as a mixed
#: state. Its size is the square of a pure one's: with more atoms it is solved by trajectories.
_MAX_MIXED_ATOMS: Final = 7

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
        config = _with_shots(_read(task.backend_configuration, task), task.runs)
    else:
        config = _measurement(shots_of(task), sequence)
        if options.with_noise:
            config = _with_standard_noise(config)
    return _checked(config, task)


def configure_for_device(task: Task, sequence: AnySequence) -> QutipConfig:
    """Returns the configuration that a job asks for, with the noise of the sequence's device.

    Raises:
        JobError: The job is wrong.
    """
    noise = _device_noise(sequence)
    if task.backend_configuration is not None:
        config = _with_shots(_read(task.backend_configuration, task), task.runs)
        if noise is not None:
            _refuse_other_noise(config, noise, task.device_type)
            # One trajectory is what clients send when the user says nothing about noise.
            named = config.n_trajectories
            config = _with_noise(config, noise, TRAJECTORIES if named == 1 else named)
    else:
        config = _measurement(shots_of(task), sequence).with_changes(with_modulation=True)
        if noise is not None:
            # Pulser repeats the emulation for some kinds of noise only. With all shots in each
            # trajectory there are enough of them in any case: see `counter.exactly`.
            config = _with_noise(config, noise, min(config.default_num_shots, TRAJECTORIES))
            if len(sequence.register.qubit_ids) > _MAX_MIXED_ATOMS:
                config = config.with_changes(solver=Solver.MCSOLVER)
    return _checked(config, task)


def _device_noise(sequence: AnySequence) -> NoiseModel | None:
    noise: NoiseModel | None = sequence.device.noise_model
    if noise is None or noise.runs is None:
        return noise
    # How often to run is said in the configuration, and Pulser wants the two to agree.
    return replace(noise, runs=None, samples_per_run=1)


def _refuse_other_noise(config: QutipConfig, noise: NoiseModel, device_type: str) -> None:
    if config.prefer_device_noise_model or config.noise_model in (NoiseModel(), noise):
        return
    raise JobError(
        f"The noise of {device_type} is that of the sequence's device: "
        "leave the noise model out of the backend configuration."
    )


def _with_noise(config: QutipConfig, noise: NoiseModel, trajectories: int) -> QutipConfig:
    # Not by prefer_device_noise_model: Pulser then leaves out the errors of detection, which it
    # takes from the noise model of the configuration.
    return config.with_changes(
        noise_model=noise, prefer_device_noise_model=False, n_trajectories=trajectories
    )


def _checked(config: QutipConfig, task: Task) -> QutipConfig:
    _check_size(config, task)
    # Pulser prints which trajectory it is at; this costs nothing and moves the progress.
    return config.with_changes(print_progress=True, progress_bar=False)


def shots_of(task: Task) -> int:
    """Returns the number of shots of a job without a backend configuration."""
    return DEFAULT_SHOTS if task.runs is None else task.runs


def _measurement(shots: int, sequence: AnySequence) -> QutipConfig:
    observables = [BitStrings(evaluation_times=[1.0], one_state=_one_state(sequence))]
    return QutipConfig(observables=observables, default_num_shots=shots)


def _with_standard_noise(config: QutipConfig) -> QutipConfig:
    # Each trajectory is measured equally often, so there may be some shots too many: see
    # `counter.exactly`.
    trajectories = min(config.default_num_shots, TRAJECTORIES)
    return config.with_changes(
        default_num_shots=-(-config.default_num_shots // trajectories),
        noise_model=standard_noise(),
        n_trajectories=trajectories,
    )


def _one_state(sequence: AnySequence) -> Any:
    # With two states per atom Pulser knows which is measured as 1. Where a sequence uses three,
    # its measurement says it.
    if len(sequence.get_addressed_bases()) < 2 or not sequence.is_measured():
        return None
    return _ONE_STATES[sequence.get_measurement_basis()]


def _read(text: str, task: Task) -> QutipConfig:
    with blaming_job("The backend configuration could not be read"):
        # Pulser writes the token Infinity where an option is infinite; json reads it.
        content = json.loads(text)
        if not isinstance(content, dict):
            raise TypeError("it is not a JSON object")
    _refuse_unknown(content, task.device_type)
    with blaming_job("The backend configuration is not valid"):
        _refuse_large_operands(content, task.limits.max_atoms)
        return cast(QutipConfig, QutipConfig.from_abstract_repr(text))


def _refuse_unknown(content: dict[str, Any], device_type: str) -> None:
    known = {
        name
        for kind in QutipConfig.__mro__
        if issubclass(kind, BackendConfig)
        for name, parameter in inspect.signature(kind).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    if unknown := sorted(content.keys() - known):
        raise JobError(
            f"The backend configuration has options that {device_type} does not know: "
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
