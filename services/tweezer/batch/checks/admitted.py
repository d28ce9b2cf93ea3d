"""What the checks make of a new batch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tweezer.batch.checks.facts import ProgramFacts
from tweezer.batch.devices.catalogue import Device


@dataclass(frozen=True, slots=True)
class CheckedProgram:
    """A sequence that was accepted."""

    hash: str
    text: str
    facts: ProgramFacts


@dataclass(frozen=True, slots=True)
class CheckedJob:
    """A job that was accepted."""

    runs: int | None
    variables_json: str | None
    program_hash: str | None
    """Of its own sequence."""
    parent_id: str | None = None
    """The job that it repeats."""


@dataclass(frozen=True, slots=True)
class CheckedBatch:
    """A batch that was accepted."""

    device: Device
    program: CheckedProgram | None
    jobs: Sequence[CheckedJob]
    job_programs: Mapping[int, CheckedProgram]
    """The jobs' own sequences by the index of the job."""
    tags: Sequence[str]

    @property
    def texts(self) -> dict[str, str]:
        """The text of every sequence by hash."""
        programs = [*self.job_programs.values(), *([self.program] if self.program else [])]
        return {program.hash: program.text for program in programs}


@dataclass(frozen=True, slots=True)
class CheckedJobs:
    """Jobs that were accepted for a batch that is there already."""

    device: Device
    jobs: Sequence[CheckedJob]
    texts: Mapping[str, str]
    """Their own sequences by hash."""
