"""What a change of status does to the columns of a job: the only place that knows."""

from typing import Any

from sqlalchemy import ColumnElement

from tweezer.job.models import JOB, LEASED_JOB_STATUSES
from tweezer.lifecycle import FINAL_JOB_STATUSES, JobStatus


def columns_in(status: JobStatus, now: ColumnElement[int]) -> dict[str, Any]:
    """Returns the columns that follow from entering a status."""
    columns: dict[str, Any] = {"status": status.value, "updated_at": now}
    if status not in LEASED_JOB_STATUSES:
        # A lease token, and none at that.
        columns |= {"lease_token": None, "lease_expires_at": None}  # nosec B105
    if status in FINAL_JOB_STATUSES:
        columns |= {"end_at": now, "unannounced": JOB.c.has_webhook}
    if status is JobStatus.PENDING:
        columns |= {"start_at": None, "progress": 0}
    if status is JobStatus.DONE:
        columns |= {"progress": 100}
    return columns
