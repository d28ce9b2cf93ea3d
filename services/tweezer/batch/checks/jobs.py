"""Checks the jobs of a batch."""

from tweezer.batch.checks.admitted import CheckedJob, CheckedProgram
from tweezer.batch.checks.facts import ProgramFacts
from tweezer.batch.checks.fields import check_runs, read_variables
from tweezer.batch.checks.variables import check_variables
from tweezer.batch.devices.catalogue import Device
from tweezer.rpc.errors import InvalidInput
from tweezer.v1.batch_pb2 import NewJob


def check_job(
    field: str,
    job: NewJob,
    batch_program: CheckedProgram | None,
    own_program: CheckedProgram | None,
    device: Device,
    max_runs: int,
) -> CheckedJob:
    """Returns what the job says, or raises InvalidInput; `field` is its path, as in `jobs[3]`."""
    runs = _runs(f"{field}.runs", job, device, max_runs)
    values_field = f"{field}.variables"
    values = {}
    if job.HasField("variables_json"):
        values = read_variables(values_field, job.variables_json)
    if own_program is not None:
        if values:
            raise InvalidInput(values_field, "cannot be combined with a sequence")
        _check_own_program(f"{field}.sequence", own_program.facts, device)
        return CheckedJob(runs, variables_json=None, program_hash=own_program.hash)
    if batch_program is None:
        raise InvalidInput(f"{field}.sequence", "is needed, because the batch has no sequence")
    check_variables(values_field, values, batch_program.facts, device.max_atoms)
    return CheckedJob(runs, job.variables_json if values else None, program_hash=None)


def check_register(field: str, facts: ProgramFacts, device: Device) -> None:
    """Raises InvalidInput when the register is too large for the device.

    How large a mappable one becomes is up to each job.
    """
    fixed = facts.qubit_ids is None
    if fixed and device.max_atoms is not None and facts.atoms > device.max_atoms:
        raise InvalidInput(
            field,
            f"the register has {facts.atoms} atoms, "
            f"and {device.device_type} takes at most {device.max_atoms}",
        )


def _runs(field: str, job: NewJob, device: Device, max_runs: int) -> int | None:
    if job.HasField("runs"):
        check_runs(field, job.runs, max_runs)
        return job.runs
    if not device.is_emulator:
        raise InvalidInput(field, f"is needed on {device.device_type}")
    return None


def _check_own_program(field: str, facts: ProgramFacts, device: Device) -> None:
    check_register(field, facts, device)
    if facts.needs_values:
        raise InvalidInput(field, "must have no variables and no mappable register")
