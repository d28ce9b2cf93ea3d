"""What a demonstration program is."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DemoJob:
    """One run of a program."""

    label: str
    """What is particular about it, for the reader."""
    runs: int
    """Number of shots."""
    variables: Mapping[str, float]
    """Values of the sequence's variables."""


@dataclass(frozen=True, slots=True)
class Program:
    """A batch to submit."""

    title: str
    sequence: str
    """Pulser's abstract representation."""
    jobs: tuple[DemoJob, ...]

    def as_request(self, project_id: str) -> dict[str, object]:
        """Returns the body of the request that creates the batch."""
        return {
            "project_id": project_id,
            "sequence_builder": self.sequence,
            "device_type": "EMU_FREE",
            "open": False,
            "jobs": [{"runs": job.runs, "variables": dict(job.variables)} for job in self.jobs],
        }
