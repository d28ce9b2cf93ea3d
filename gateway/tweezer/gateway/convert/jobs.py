"""Jobs: checked input to requests, and protobuf to what the API answers."""

from typing import Any, Final

import orjson

from tweezer.gateway.convert import statuses, words
from tweezer.gateway.convert.paging import page_of
from tweezer.gateway.convert.times import moment, timestamp
from tweezer.gateway.schemas.queries import JobConditions, JobQuery
from tweezer.v1.job_pb2 import Job, JobFilter
from tweezer.v1.job_service_pb2 import ListJobsRequest
from tweezer.v1.paging_pb2 import Page, SortDirection

#: The services send that many items at once; the REST API shows fewer.
_LARGEST_PAGE: Final = 1000


def list_request(query: JobQuery) -> ListJobsRequest:
    """Returns the request that lists jobs."""
    return ListJobsRequest(
        filter=job_filter(query),
        page=page_of(query),
    )


def job_filter(query: JobConditions) -> JobFilter:
    """Returns the conditions on jobs."""
    return JobFilter(
        ids=query.id,
        id_prefix=query.id__starts_with,
        batch_ids=query.batch_id,
        project_ids=query.project_id,
        user_ids=query.user_id,
        statuses=statuses.job_statuses(query.status),
        min_runs=query.min_runs,
        max_runs=query.max_runs,
        errors=query.errors,
        origins=[words.JOB_ORIGIN_OF[word] for word in query.origin],
        start_time=timestamp(query.start_date),
        end_time=timestamp(query.end_date),
    )


def all_of_batch(batch_id: str, skip: int) -> ListJobsRequest:
    """Returns the request that lists the jobs of a batch, as many as fit on a page."""
    return ListJobsRequest(
        filter=JobFilter(batch_ids=[batch_id]),
        page=Page(
            size=_LARGEST_PAGE,
            skip=skip,
            order_by="creation_order",
            direction=SortDirection.SORT_DIRECTION_ASC,
        ),
    )


def job_v1(job: Job) -> dict[str, Any]:
    """Returns a job as a batch with its jobs shows it."""
    facts = _job(job)
    facts["sequence"] = job.sequence or None
    return facts


def job_row(job: Job) -> dict[str, Any]:
    """Returns a job as lists show it."""
    facts = _job(job)
    facts["slurm_job_id"] = job.slurm_job_id or None
    facts["slurm_cluster_name"] = job.slurm_cluster_name or None
    return facts


def job_full(job: Job) -> dict[str, Any]:
    """Returns a job with its sequence."""
    facts = job_row(job)
    facts["sequence"] = job.sequence or None
    return facts


def job_legacy(job: Job) -> dict[str, Any]:
    """Returns a job as version 1 shows it, without its result."""
    facts = _job(job)
    del facts["progress"], facts["creation_order"]
    return facts


def job_with_result(job: Job, file: bytes | None) -> dict[str, Any]:
    """Returns a job as version 1 shows it, with its result file."""
    facts = job_legacy(job)
    facts["result"] = None if file is None else orjson.loads(file).get("counter")
    facts["full_result"] = None if file is None else orjson.Fragment(file)
    return facts


def _job(job: Job) -> dict[str, Any]:
    return {
        "id": job.id,
        "parent_id": job.parent_id or None,
        "status": statuses.JOB_STATUS[job.status],
        "runs": job.runs if job.HasField("runs") else None,
        "batch_id": job.batch_id,
        "project_id": job.project_id,
        "created_at": moment(job.create_time),
        "updated_at": moment(job.update_time),
        "start_timestamp": moment(job.start_time) if job.HasField("start_time") else None,
        "end_timestamp": moment(job.end_time) if job.HasField("end_time") else None,
        # Written as it is: it was checked when it came in, and no number changes on the way.
        "variables": orjson.Fragment(job.variables_json or "null"),
        "errors": list(job.errors),
        "progress": job.progress,
        "creation_order": job.creation_order,
    }
