"""FRESNEL, FRESNEL_CAN1 and EMU_FRESNEL: QPUs, emulated to rehearse code for the hardware.

The rules are those of the hardware. The noise is that of the device in the sequence, which carries
it when the client has built the sequence with the specs that it got from here; the emulation is
noiseless when that device has no noise model. Pulses are played as the device's channels modulate
them.
"""

from dataclasses import replace

from tweezer.execution.emulators.configuration import configure_for_device, shots_of
from tweezer.execution.emulators.counter import exactly, final_counter, measured
from tweezer.execution.emulators.legacy import read_legacy_options
from tweezer.execution.emulators.program import build_sequence
from tweezer.execution.emulators.qutip_run import check_shots_for_qpu, run_on_qutip
from tweezer.execution.emulators.registry import Report
from tweezer.execution.emulators.result_file import result_file
from tweezer.execution.emulators.task import JobError, Task


def run_qpu(task: Task, report: Report) -> bytes:
    """Runs a job as a QPU does: shots at the end of the sequence, and nothing else.

    Raises:
        JobError: The job is wrong.
    """
    if task.backend_configuration is not None:
        raise JobError(
            f"{task.device_type} takes no backend configuration: "
            "a QPU measures bitstrings at the end of the sequence and nothing else."
        )
    return emulate_qpu(task, report)


def emulate_qpu(task: Task, report: Report) -> bytes:
    """Emulates a QPU; a backend configuration may ask for what a QPU cannot measure.

    Raises:
        JobError: The job is wrong.
    """
    task = replace(task, limits=replace(task.limits, max_atoms=task.limits.max_qpu_atoms))
    _check_options(task)
    sequence = build_sequence(task)
    check_shots_for_qpu(sequence, task.runs)
    config = configure_for_device(task, sequence)
    results = run_on_qutip(task, sequence, config, report, strict=True)
    limit = task.limits.max_result_bytes
    if task.backend_configuration is not None:
        return result_file(final_counter(results), results.to_abstract_repr(), limit)
    return result_file(exactly(shots_of(task), measured(results)), None, limit)


def _check_options(task: Task) -> None:
    # Validation is strict here whether they ask for it or not.
    if read_legacy_options(task.configuration_json, task.device_type).with_noise:
        raise JobError(
            "The option with_noise is for EMU_FREE: "
            f"the noise of {task.device_type} is that of the sequence's device."
        )
