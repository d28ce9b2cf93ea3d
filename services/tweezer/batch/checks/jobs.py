"""Checks the jobs of a batch."""

from typing import Final

from tweezer.batch.checks.admitted import CheckedJob, CheckedProgram
from tweezer.batch.checks.facts import ProgramFacts
from tweezer.batch.checks.fields import check_runs, read_variables
from tweezer.batch.checks.variables import check_variables
from tweezer.batch.devices.catalogue import Device
from tweezer.rpc.errors import InvalidInput
from tweezer.v1.batch_pb2 import NewJob

#: Longest name that is repeated in a message, in characters.
_LONGEST_NAME: Final = 64


def check_job(
    field: str,
    job: NewJob,
    batch_program: CheckedProgram | None,
    own_program: CheckedProgram | None,
    device: Device,
    max_runs: int,
    *,
    values_beside_sequence: bool = False,
) -> CheckedJob:
    """Returns what the job says, or raises InvalidInput; `field` is its path, as in `jobs[3]`.

    `values_beside_sequence` takes a job that has variables and a sequence of its own: the sequence
    is what runs, and the variables are kept to be shown.
    """
    runs = _runs(f"{field}.runs", job, device, max_runs)
    values_field = f"{field}.variables"
    values = {}
    if job.HasField("variables_json"):
        values = read_variables(values_field, job.variables_json)
    if own_program is not None:
        if values and not values_beside_sequence:
            raise InvalidInput(values_field, "cannot be combined with a sequence")
        _check_own_program(f"{field}.sequence", own_program.facts, device)
        return CheckedJob(runs, job.variables_json if values else None, own_program.hash)
    if batch_program is None:
        raise InvalidInput(f"{field}.sequence", "is needed, because the batch has no sequence")
    check_variables(values_field, values, batch_program.facts, device.atom_limit)
    return CheckedJob(runs, job.variables_json if values else None, program_hash=None)


def check_program(field: str, facts: ProgramFacts, device: Device) -> None:
    """Raises InvalidInput when the device does not take the sequence."""
    if device.strict:
        _check_rules(field, facts, device)
    if facts.qubit_ids is None:  # how large a mappable register becomes is up to each job
        _check_atoms(field, facts.atoms, device)


def _check_rules(field: str, facts: ProgramFacts, device: Device) -> None:
    if facts.device_name not in device.accepted_devices:
        raise InvalidInput(
            field,
            f"the sequence is for {facts.device_name[:_LONGEST_NAME]!r}, and "
            f"{device.device_type} takes only sequences for "
            f"{' or '.join(sorted(device.accepted_devices))}",
        )
    # An emulator of a QPU may be described by a virtual device: Pulser then has held the sequence
    # against its rules already.
    if facts.qpu_refusal is not None and not (device.is_emulator and facts.virtual):
        raise InvalidInput(field, facts.qpu_refusal)


def _check_atoms(field: str, atoms: int, device: Device) -> None:
    if device.max_atoms is not None and atoms > device.max_atoms:
        raise InvalidInput(
            field,
            f"the register has {atoms} atoms, "
            f"and {device.device_type} takes at most {device.max_atoms}",
        )
    if device.emulated_atoms is not None and atoms > device.emulated_atoms:
        raise InvalidInput(
            field,
            f"the register has {atoms} atoms, and {device.device_type} is emulated here "
            f"for at most {device.emulated_atoms}",
        )


def _runs(field: str, job: NewJob, device: Device, max_runs: int) -> int | None:
    if job.HasField("runs"):
        if device.strict and device.max_runs is not None:
            max_runs = min(max_runs, device.max_runs)
        check_runs(field, job.runs, max_runs)
        return job.runs
    if not device.is_emulator:
        raise InvalidInput(field, f"is needed on {device.device_type}")
    return None


def _check_own_program(field: str, facts: ProgramFacts, device: Device) -> None:
    check_program(field, facts, device)
    if facts.needs_values:
        raise InvalidInput(field, "must have no variables and no mappable register")
