"""Runs a sequence on Pulser's QuTiP backend."""

from typing import Final

from pulser.backend import Results
from pulser.backend.remote import JobParams, RemoteBackend
from pulser_simulation import QutipBackendV2, QutipConfig

from tweezer.execution.emulators import fast_qutip
from tweezer.execution.emulators.fast_qutip import FastBackend
from tweezer.execution.emulators.kept_backends import KeptBackends, key_of
from tweezer.execution.emulators.memory import needed_by, require_memory
from tweezer.execution.emulators.program import AnySequence
from tweezer.execution.emulators.refusal import blaming_job
from tweezer.execution.emulators.registry import Report
from tweezer.execution.emulators.task import Task
from tweezer.execution.emulators.trajectories import reporting_trajectories

#: Percentage reported before the solver runs.
_PREPARED: Final = 5

#: Percentage reported after the solver has run.
_EMULATED: Final = 95

#: What Pulser raises for sequences and configurations that do not go together.
_REFUSALS: Final = (ValueError, TypeError, NotImplementedError, RuntimeError)

#: What this process has emulated before.
_kept: Final = KeptBackends()


def run_on_qutip(
    task: Task, sequence: AnySequence, config: QutipConfig, report: Report, *, strict: bool
) -> Results:
    """Emulates the sequence of a task; `strict` refuses one that a QPU would not run.

    A task that differs from an earlier one in nothing but shots is measured on the states that were
    found for that one, where there is no noise that would make them different.

    Raises:
        JobError: The sequence cannot be emulated.
    """
    key = key_of(task)
    with blaming_job("The sequence cannot be emulated", _REFUSALS):
        if task.share and (kept := _kept.find(key)) is not None:
            return kept.run_again(config)
        needed_bytes = needed_by(sequence, config)
        require_memory(needed_bytes, _kept.clear)
        backend = _backend(task, sequence, config, strict=strict)
        report(_PREPARED)
        with reporting_trajectories(report, _PREPARED, _EMULATED):
            results = backend.run()
        if task.share and isinstance(backend, FastBackend) and backend.can_run_again:
            _kept.keep(key, backend, needed_bytes)
    report(_EMULATED)
    return results


def _backend(
    task: Task, sequence: AnySequence, config: QutipConfig, *, strict: bool
) -> QutipBackendV2:
    if not fast_qutip.is_known():
        return QutipBackendV2(sequence, config=config, mimic_qpu=strict)
    return FastBackend(sequence, config=config, mimic_qpu=strict, integrator=task.integrator)


def check_shots_for_qpu(sequence: AnySequence, runs: int | None) -> None:
    """Raises JobError for a number of shots that the sequence's device would not take."""
    job: JobParams = {} if runs is None else {"runs": runs}
    with blaming_job("The job does not pass strict validation"):
        RemoteBackend.validate_job_params([job], sequence.device.max_runs)
