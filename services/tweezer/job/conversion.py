"""Converts between messages and what the store takes and gives."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from tweezer.database.timestamps import to_timestamp
from tweezer.job.models import ORIGINS
from tweezer.lifecycle import JobStatus
from tweezer.v1 import job_pb2

#: Statuses by their numbers in messages.
STATUS_OF: Final[Mapping[int, str]] = {
    job_pb2.JobStatus.Value(f"JOB_STATUS_{status}"): status.value for status in JobStatus
}
#: Channels by their numbers in messages.
ORIGIN_OF: Final[Mapping[int, str]] = {
    job_pb2.JobOrigin.Value(f"JOB_ORIGIN_{origin}"): origin for origin in ORIGINS
}

_STATUS_NUMBER: Final = {word: job_pb2.JobStatus.ValueType(n) for n, word in STATUS_OF.items()}
_ORIGIN_NUMBER: Final = {word: job_pb2.JobOrigin.ValueType(n) for n, word in ORIGIN_OF.items()}


def status_number(word: str) -> job_pb2.JobStatus.ValueType:
    """Returns the number of a status in messages."""
    return _STATUS_NUMBER[word]


def job_message(row: Sequence[Any]) -> job_pb2.Job:
    """Converts a row of `reads.JOB_COLUMNS`."""
    (
        id_,
        parent_id,
        status,
        runs,
        batch_id,
        project_id,
        user_id,
        created_at,
        updated_at,
        start_at,
        end_at,
        variables_json,
        errors,
        progress,
        creation_order,
        slurm_job_id,
        slurm_cluster_name,
        origin,
    ) = row
    return job_pb2.Job(
        id=id_,
        parent_id=parent_id,
        status=_STATUS_NUMBER[status],
        runs=runs,
        batch_id=batch_id,
        project_id=project_id,
        user_id=user_id,
        create_time=to_timestamp(created_at),
        update_time=to_timestamp(updated_at),
        start_time=None if start_at is None else to_timestamp(start_at),
        end_time=None if end_at is None else to_timestamp(end_at),
        variables_json=variables_json,
        errors=() if errors is None else orjson.loads(errors),
        progress=progress,
        creation_order=creation_order,
        slurm_job_id=slurm_job_id,
        slurm_cluster_name=slurm_cluster_name,
        origin=_ORIGIN_NUMBER[origin],
    )
