"""What a worker asks of Slurm."""

from dataclasses import dataclass
from typing import Any

from pydantic import Field
from pydantic.dataclasses import dataclass as checked_dataclass


@checked_dataclass(frozen=True)
class SlurmResources:
    """One Slurm job, which is one worker, and how many of them there may be."""

    cores: int = Field(default=1, ge=1)
    """Cores, and threads that numerical libraries use."""
    memory_mib: int = Field(default=4096, ge=512)
    """Memory, in MiB. Emulations get nine tenths of it."""
    gpus: int = Field(default=0, ge=0)
    """GPUs (`--gres=gpu:N`)."""
    partition: str | None = None
    """Partition; absent leaves it to Slurm."""
    account: str | None = None
    """Account; absent leaves it to Slurm."""
    time_limit: str | None = None
    """How long a worker lives, as Slurm writes it; absent leaves it to the partition. What runs at
    its end costs an attempt, so make it much longer than a job."""
    directives: tuple[str, ...] = ()
    """Further options of sbatch, for example `--constraint=avx512`."""
    min_workers: int = Field(default=0, ge=0)
    """Workers that are kept without work."""
    max_workers: int = Field(default=8, ge=1)
    """Workers at most."""

    def __post_init__(self) -> None:
        """Refuses a minimum above the maximum."""
        if self.min_workers > self.max_workers:
            raise ValueError("min_workers is more than max_workers")


@dataclass(frozen=True, slots=True)
class SlurmOptions:
    """What holds for all Slurm jobs of an engine."""

    folder: str
    """Where logs and the workers' certificates lie; every node must see it, at the same path."""
    host: str | None
    """Address at which the nodes reach this machine; None takes that of its name."""
    idle_s: float
    """How long a worker may be without work before it is ended, in seconds."""
    jobs_ahead: int
    """Jobs that are taken for workers that are not there yet."""


def overridden(base: SlurmResources, changes: dict[str, Any]) -> SlurmResources:
    """Returns the resources with some of them changed; raises ValueError for what is none."""
    fields = {name: getattr(base, name) for name in SlurmResources.__dataclass_fields__}
    unknown = changes.keys() - fields.keys()
    if unknown:
        raise ValueError(f"a Slurm job has no {', '.join(sorted(unknown))}")
    return SlurmResources(**{**fields, **changes})
