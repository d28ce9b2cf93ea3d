"""Runs a sequence on Pulser's QuTiP backend."""

from typing import Final

from pulser.backend import Results
from pulser.backend.remote import JobParams, RemoteBackend
from pulser_simulation import QutipBackendV2, QutipConfig

from tweezer.execution.emulators.program import AnySequence
from tweezer.execution.emulators.refusal import blaming_job
from tweezer.execution.emulators.registry import Report
from tweezer.execution.emulators.trajectories import reporting_trajectories

#: Percentage reported before the solver runs.
_PREPARED: Final = 5

#: Percentage reported after the solver has run.
_EMULATED: Final = 95

#: What Pulser raises for sequences and configurations that do not go together.
_REFUSALS: Final = (ValueError, TypeError, NotImplementedError, RuntimeError)


def run_on_qutip(
    sequence: AnySequence, config: QutipConfig, report: Report, *, strict: bool
) -> Results:
    """Emulates a sequence; `strict` refuses one that a QPU would not run.

    Raises:
        JobError: The sequence cannot be emulated.
    """
    with blaming_job("The sequence cannot be emulated", _REFUSALS):
        backend = QutipBackendV2(sequence, config=config, mimic_qpu=strict)
        report(_PREPARED)
        with reporting_trajectories(report, _PREPARED, _EMULATED):
            results = backend.run()
    report(_EMULATED)
    return results


def check_shots_for_qpu(sequence: AnySequence, runs: int | None) -> None:
    """Raises JobError for a number of shots that the sequence's device would not take."""
    job: JobParams = {} if runs is None else {"runs": runs}
    with blaming_job("The job does not pass strict validation"):
        RemoteBackend.validate_job_params([job], sequence.device.max_runs)
