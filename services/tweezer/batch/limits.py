"""How much may be stored."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may be stored of what."""

    jobs_per_batch: int
    unfinished_jobs_per_project: int
    batches_per_project: int
