"""Converts between messages and what the store takes and gives."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import orjson

from tweezer.database.timestamps import set_timestamp, to_timestamp
from tweezer.internal.v1 import progress_service_pb2, queue_service_pb2
from tweezer.job.models import ORIGINS
from tweezer.job.store.progress import Progress
from tweezer.lifecycle import JobStatus
from tweezer.v1 import batch_pb2, job_pb2, job_service_pb2

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
    return _made(job_pb2.Job, row)


def list_response(rows: Iterable[Sequence[Any]], total: int) -> job_service_pb2.ListJobsResponse:
    """Converts rows of `reads.JOB_COLUMNS`, of which there are `total` in all."""
    response = job_service_pb2.ListJobsResponse(total_size=total)
    add = response.jobs.add  # a message that is made elsewhere would be copied
    for row in rows:
        _made(add, row)
    return response


def _made(make: Callable[..., job_pb2.Job], row: Sequence[Any]) -> job_pb2.Job:
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
    job = make(
        id=id_,
        parent_id=parent_id,
        status=_STATUS_NUMBER[status],
        runs=runs,
        batch_id=batch_id,
        project_id=project_id,
        user_id=user_id,
        variables_json=variables_json,
        errors=None if errors is None else orjson.loads(errors),
        progress=progress,
        creation_order=creation_order,
        slurm_job_id=slurm_job_id,
        slurm_cluster_name=slurm_cluster_name,
        origin=_ORIGIN_NUMBER[origin],
    )
    # In place: times that are made elsewhere would be half of the cost of a list.
    set_timestamp(job.create_time, created_at)
    set_timestamp(job.update_time, updated_at)
    if start_at is not None:
        set_timestamp(job.start_time, start_at)
    if end_at is not None:
        set_timestamp(job.end_time, end_at)
    return job


def queued_job_message(row: Sequence[Any]) -> queue_service_pb2.QueuedJob:
    """Converts a row of `reads.QUEUED_COLUMNS`."""
    id_, creation_order, runs, variables_json, program_hash, parent_id = row
    return queue_service_pb2.QueuedJob(
        id=id_,
        creation_order=creation_order,
        runs=runs,
        variables_json=variables_json,
        program_hash=program_hash,
        parent_id=parent_id,
    )


def progress_message(news: Progress) -> progress_service_pb2.BatchProgress:
    """Converts the progress of a batch."""
    counts = news.counts
    return progress_service_pb2.BatchProgress(
        batch_id=news.batch_id,
        version=news.version,
        job_counts=batch_pb2.JobCounts(
            pending=counts.pending,
            running=counts.running,
            canceling=counts.canceling,
            done=counts.done,
            error=counts.error,
            canceled=counts.canceled,
        ),
        start_time=None if news.start_at is None else to_timestamp(news.start_at),
        end_time=None if news.end_at is None else to_timestamp(news.end_at),
    )
