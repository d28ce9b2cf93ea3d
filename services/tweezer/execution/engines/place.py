"""Where a task runs."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """The Slurm job that a worker is part of, if it is part of one."""

    slurm_job_id: str | None = None
    slurm_cluster_name: str | None = None

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Place":
        """Returns the place of a process with this environment; Slurm names it there."""
        return cls(environment.get("SLURM_JOB_ID"), environment.get("SLURM_CLUSTER_NAME"))
