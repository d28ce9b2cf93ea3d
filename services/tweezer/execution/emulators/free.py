"""EMU_FREE: pulser-simulation's QuTiP backend."""

from typing import Final

import orjson
from pulser.backend import Results
from pulser.backend.remote import JobParams, RemoteBackend
from pulser_simulation import QutipBackendV2, QutipConfig

from tweezer.execution.emulators.configuration import configure, shots_of
from tweezer.execution.emulators.counter import exactly, final_counter
from tweezer.execution.emulators.legacy import read_legacy_options
from tweezer.execution.emulators.program import AnySequence, build_sequence
from tweezer.execution.emulators.refusal import blaming_job
from tweezer.execution.emulators.registry import Report
from tweezer.execution.emulators.task import JobError, Task
from tweezer.execution.emulators.trajectories import reporting_trajectories

#: Percentage reported before the solver runs.
_PREPARED: Final = 5

#: Percentage reported after the solver has run.
_EMULATED: Final = 95


#: What Pulser raises for sequences and configurations that do not go together.
_REFUSALS: Final = (ValueError, TypeError, NotImplementedError, RuntimeError)


def emulate(task: Task, report: Report) -> bytes:
    """Emulates a job and returns its result file.

    The file is a JSON object: `counter` (bitstring to count, null when the backend configuration
    asks for no bitstrings at the end), `raw` (always null: Pulser counts the shots and keeps no
    order of them) and `serialised_results` (Pulser's Results as text, null without a backend
    configuration).

    Raises:
        JobError: The job is wrong.
    """
    options = read_legacy_options(task.configuration_json)
    sequence = build_sequence(task)
    config = configure(task, options, sequence)
    if options.strict_validation:
        _check_shots_for_qpu(sequence, task.runs)
    results = _run(sequence, config, report, strict=options.strict_validation)
    counter = final_counter(results)
    if task.backend_configuration is not None:
        return _file(counter, results.to_abstract_repr(), task.limits.max_result_bytes)
    if counter is None:
        raise AssertionError("a measurement at the end of the sequence left no bitstrings")
    return _file(exactly(shots_of(task), counter), None, task.limits.max_result_bytes)


def _check_shots_for_qpu(sequence: AnySequence, runs: int | None) -> None:
    job: JobParams = {} if runs is None else {"runs": runs}
    with blaming_job("The job does not pass strict validation"):
        RemoteBackend.validate_job_params([job], sequence.device.max_runs)


def _run(sequence: AnySequence, config: QutipConfig, report: Report, *, strict: bool) -> Results:
    with blaming_job("The sequence cannot be emulated", _REFUSALS):
        backend = QutipBackendV2(sequence, config=config, mimic_qpu=strict)
        report(_PREPARED)
        with reporting_trajectories(report, _PREPARED, _EMULATED):
            results = backend.run()
    report(_EMULATED)
    return results


def _file(counter: dict[str, int] | None, serialised_results: str | None, limit: int) -> bytes:
    content = orjson.dumps(
        {"counter": counter, "raw": None, "serialised_results": serialised_results}
    )
    if len(content) > limit:
        raise JobError(
            f"The results take {len(content)} bytes, the limit is {limit}: "
            "ask for fewer observables, evaluation times or shots."
        )
    return content
