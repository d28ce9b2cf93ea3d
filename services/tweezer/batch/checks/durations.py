"""Holds how long jobs last against the limit, where variables decide it."""

import json
from collections.abc import Iterable
from typing import Final

from tweezer.batch.checks.admitted import CheckedJob, CheckedProgram
from tweezer.batch.checks.facts import Refused
from tweezer.batch.checks.programs import Programs
from tweezer.rpc.errors import InvalidInput

#: Different lengths that are looked at for one call; the sequence is built for each.
_MOST_LENGTHS: Final = 200


def check_duration(field: str, duration_ns: int | None, limit_ns: int) -> None:
    """Raises InvalidInput when a sequence is known to last for too long."""
    if duration_ns is not None and duration_ns > limit_ns:
        raise InvalidInput(
            field, f"the sequence lasts {duration_ns} ns, and the limit is {limit_ns} ns"
        )


async def check_durations(
    programs: Programs, program: CheckedProgram, jobs: Iterable[CheckedJob], limit_ns: int
) -> None:
    """Raises InvalidInput when a job makes a sequence with variables last for too long.

    Jobs that differ in nothing that has a say in the duration are built once. There is a bound to
    how much is built; a job that nobody looked at here ends with an error where it runs.
    """
    lengths = _lengths(program, jobs)
    if not lengths:
        return
    values = {key: text for key, (_, text) in lengths.items()}
    try:
        durations = await programs.durations(program.text, program.hash, values)
    except Refused as refused:
        raise InvalidInput("jobs", f"building the sequence {refused}") from None
    for (index, _), duration_ns in zip(lengths.values(), durations, strict=False):
        check_duration(f"jobs[{index}].variables", duration_ns, limit_ns)


def _lengths(program: CheckedProgram, jobs: Iterable[CheckedJob]) -> dict[str, tuple[int, str]]:
    """Returns one job for each set of values that has a say, with its index and all its values."""
    found: dict[str, tuple[int, str]] = {}
    timed_by = program.facts.timed_by
    for index, job in enumerate(jobs):
        if job.program_hash is not None or job.variables_json is None:
            continue
        found.setdefault(_key(job.variables_json, timed_by), (index, job.variables_json))
        if len(found) == _MOST_LENGTHS or not timed_by:
            break
    return found


def _key(variables_json: str, timed_by: Iterable[str]) -> str:
    if not timed_by:
        return ""
    values = json.loads(variables_json)  # not stricter than what has accepted them
    return json.dumps([values.get(name) for name in timed_by])
