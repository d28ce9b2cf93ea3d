"""The life cycle of jobs and batches: every status, every event, every allowed change.

Nothing else in the code base decides what may follow what. The store builds the guards of its
updates from `transitions`, and docs/lifecycle.md is printed from the same table.
"""

from tweezer.lifecycle.batches import (
    FINAL_BATCH_STATUSES,
    BatchIntent,
    BatchStatus,
    JobCounts,
    batch_status,
)
from tweezer.lifecycle.jobs import (
    FINAL_JOB_STATUSES,
    JOB_TRANSITIONS,
    IllegalTransition,
    JobEvent,
    JobStatus,
    after,
    transitions,
)

__all__ = [
    "FINAL_BATCH_STATUSES",
    "FINAL_JOB_STATUSES",
    "JOB_TRANSITIONS",
    "BatchIntent",
    "BatchStatus",
    "IllegalTransition",
    "JobCounts",
    "JobEvent",
    "JobStatus",
    "after",
    "batch_status",
    "transitions",
]
