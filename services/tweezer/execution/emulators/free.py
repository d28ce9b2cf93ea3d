"""EMU_FREE: pulser-simulation's QuTiP backend."""

from tweezer.execution.emulators.configuration import configure, shots_of
from tweezer.execution.emulators.counter import exactly, final_counter, measured
from tweezer.execution.emulators.legacy import read_legacy_options
from tweezer.execution.emulators.program import build_sequence
from tweezer.execution.emulators.qutip_run import check_shots_for_qpu, run_on_qutip
from tweezer.execution.emulators.registry import Report
from tweezer.execution.emulators.result_file import result_file
from tweezer.execution.emulators.task import Task


def emulate(task: Task, report: Report) -> bytes:
    """Emulates a job and returns its result file.

    Raises:
        JobError: The job is wrong.
    """
    options = read_legacy_options(task.configuration_json, task.device_type)
    sequence = build_sequence(task)
    config = configure(task, options, sequence)
    if options.strict_validation:
        check_shots_for_qpu(sequence, task.runs)
    results = run_on_qutip(task, sequence, config, report, strict=options.strict_validation)
    limit = task.limits.max_result_bytes
    if task.backend_configuration is not None:
        return result_file(final_counter(results), results.to_abstract_repr(), limit)
    return result_file(exactly(shots_of(task), measured(results)), None, limit)
