"""Batches: checked input to requests, and protobuf to what the API answers."""

from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from tweezer.gateway.convert import statuses, words
from tweezer.gateway.convert.jobs import job_v1
from tweezer.gateway.convert.paging import page_of
from tweezer.gateway.convert.times import moment, timestamp
from tweezer.gateway.json_text import json_text
from tweezer.gateway.schemas.bodies import CreateBatch, CreateJob
from tweezer.gateway.schemas.queries import BatchQuery
from tweezer.v1.batch_pb2 import Batch, BatchFilter, NewJob
from tweezer.v1.batch_service_pb2 import (
    CreateBatchRequest,
    GetBatchStatusResponse,
    ListBatchesRequest,
    ListLastActivityResponse,
    WatchBatchResponse,
)
from tweezer.v1.job_pb2 import Job, JobOrigin


def create_request(
    body: CreateBatch, origin: JobOrigin.ValueType = JobOrigin.JOB_ORIGIN_UNSPECIFIED
) -> CreateBatchRequest:
    """Returns the request that creates a batch."""
    return CreateBatchRequest(
        project_id=body.project_id,
        sequence=body.sequence_builder,
        jobs=new_jobs(body.jobs or (), ("body", "jobs")),
        open=_wants_open(body.open, body.complete) or False,
        device_type=body.device_type or body.emulator or None,
        backend_configuration=body.backend_configuration,
        configuration_json=(
            None
            if body.configuration is None
            else json_text(body.configuration, ("body", "configuration"))
        ),
        tags=body.tags,
        webhook=body.webhook,
        origin=origin,
    )


def new_jobs(jobs: Iterable[CreateJob], loc: Sequence[str | int]) -> list[NewJob]:
    """Returns the jobs to create; `loc` is where the list is in the HTTP request."""
    return [new_job(job, (*loc, index)) for index, job in enumerate(jobs)]


def new_job(job: CreateJob, loc: Sequence[str | int]) -> NewJob:
    """Returns a job to create; `loc` is where it is in the HTTP request."""
    variables = job.get("variables")
    return NewJob(
        runs=job.get("runs"),
        variables_json=None if variables is None else json_text(variables, (*loc, "variables")),
        sequence=job.get("sequence"),
    )


def list_request(query: BatchQuery) -> ListBatchesRequest:
    """Returns the request that lists batches."""
    return ListBatchesRequest(
        filter=BatchFilter(
            ids=query.id,
            id_prefix=query.id__starts_with,
            project_ids=query.project_id,
            user_ids=query.user_id,
            device_types=query.device_type,
            statuses=statuses.batch_statuses(query.status),
            open=_wants_open(query.open, query.complete),
            min_jobs=query.min_jobs,
            max_jobs=query.max_jobs,
            start_time=timestamp(query.start_date),
            end_time=timestamp(query.end_date),
            queue_priorities=[words.QUEUE_PRIORITY_OF[word] for word in query.queue_priority],
            tag=query.tag,
        ),
        page=page_of(query),
    )


def _wants_open(wants_open: bool | None, complete: bool | None) -> bool | None:
    """Returns what `open` and its deprecated inverse ask for together."""
    if wants_open is None and complete is not None:
        return not complete
    return wants_open


def batch_row(batch: Batch) -> dict[str, Any]:
    """Returns a batch as lists show it."""
    return {
        "id": batch.id,
        "parent_id": batch.parent_id or None,
        "status": statuses.BATCH_STATUS[batch.status],
        "complete": not batch.open,
        "open": batch.open,
        "priority": 0,
        "device_type": batch.device_type,
        "user_id": batch.user_id,
        "project_id": batch.project_id,
        "created_at": moment(batch.create_time),
        "updated_at": moment(batch.update_time),
        "jobs_count": batch.jobs_count,
        "jobs_count_per_status": statuses.job_counts(batch.job_counts),
        "tags": list(batch.tags),
        # Written as it is: it was checked when it came in.
        "configuration": orjson.Fragment(batch.configuration_json or "null"),
        "backend_configuration": batch.backend_configuration or None,
        "webhook": batch.webhook or None,
        "start_datetime": moment(batch.start_time) if batch.HasField("start_time") else None,
        "end_datetime": moment(batch.end_time) if batch.HasField("end_time") else None,
        "queue_priority": words.QUEUE_PRIORITY[batch.queue_priority],
    }


def batch_detail(batch: Batch) -> dict[str, Any]:
    """Returns a batch with its sequence and the identifiers of its jobs."""
    return {
        **batch_without_jobs(batch),
        "job_ids": list(batch.job_ids),
    }


def queue_item(batch: Batch) -> dict[str, Any]:
    """Returns a batch as the queue of a device shows it."""
    facts = batch_row(batch)
    for left_out in ("complete", "priority", "webhook"):
        del facts[left_out]
    return facts


def batch_without_jobs(batch: Batch) -> dict[str, Any]:
    """Returns a batch with its sequence."""
    return {**batch_row(batch), "sequence_builder": batch.sequence or None}


def batch_with_jobs(batch: Batch, jobs: Iterable[Job]) -> dict[str, Any]:
    """Returns a batch with its sequence and its jobs."""
    return {**batch_without_jobs(batch), "jobs": [job_v1(job) for job in jobs]}


def last_activity(response: ListLastActivityResponse) -> list[dict[str, Any]]:
    """Returns when each project was last active."""
    return [
        {
            "project_id": project.project_id,
            "last_activity_date": moment(project.last_activity_time),
        }
        for project in response.projects
    ]


def batch_status(response: GetBatchStatusResponse | WatchBatchResponse) -> dict[str, Any]:
    """Returns what a client polls."""
    return {
        "status": statuses.BATCH_STATUS[response.status],
        "jobs_count_per_status": statuses.job_counts(response.job_counts),
    }
