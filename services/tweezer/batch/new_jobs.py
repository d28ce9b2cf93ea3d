"""Jobs that were accepted and are about to be added to a batch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from tweezer.batch.checks.admitted import CheckedJob
from tweezer.batch.conversion import ORIGIN_TO_MESSAGE, PRIORITY_TO_MESSAGE
from tweezer.batch.identifiers import job_ids
from tweezer.batch.store.rows import BatchRow
from tweezer.database.timestamps import to_timestamp
from tweezer.internal.v1.queue_service_pb2 import EnqueueJobsRequest, QueuedBatch, QueuedJob
from tweezer.v1.job_pb2 import Job, JobStatus


@dataclass(frozen=True)
class NewJobs:
    """One addition of jobs, the first of a batch or a later one."""

    batch: BatchRow
    exclusive: bool
    """Whether the device of the batch runs one batch at a time."""
    addition_id: str
    first_order: int
    jobs: Sequence[CheckedJob]
    created_at: int

    @cached_property
    def ids(self) -> list[str]:
        """Identifiers of the jobs in creation order."""
        return job_ids(self.batch.id, self.first_order, len(self.jobs))

    @property
    def program_hashes(self) -> set[str]:
        """Sequences that jobs have of their own."""
        return {job.program_hash for job in self.jobs if job.program_hash is not None}

    def numbered(self) -> Iterator[tuple[int, str, CheckedJob]]:
        """Gives each job with its creation order and its identifier."""
        pairs = zip(self.ids, self.jobs, strict=True)
        return ((order, i, job) for order, (i, job) in enumerate(pairs, self.first_order))


def enqueue_request(new: NewJobs, sequence_bytes: int) -> EnqueueJobsRequest:
    """Returns what JobService is asked to hold; it is told how much the project has stored here."""
    batch = new.batch
    request = EnqueueJobsRequest(
        batch=QueuedBatch(
            id=batch.id,
            project_id=batch.project_id,
            user_id=batch.user_id,
            device_type=batch.device_type,
            queue_priority=PRIORITY_TO_MESSAGE[batch.queue_priority],
            program_hash=batch.program_hash,
            backend_configuration=batch.backend_configuration,
            configuration_json=batch.configuration_json,
            origin=ORIGIN_TO_MESSAGE[batch.origin],
            exclusive=new.exclusive,
            webhook=batch.webhook,
        ),
        addition_id=new.addition_id,
        create_time=to_timestamp(new.created_at),
        sequence_bytes=sequence_bytes,
    )
    add = request.jobs.add  # a message that is made elsewhere would be copied
    for order, job_id, job in new.numbered():
        add(
            id=job_id,
            creation_order=order,
            runs=job.runs,
            variables_json=job.variables_json,
            program_hash=job.program_hash,
            parent_id=job.parent_id,
        )
    return request


def checked_job(job: QueuedJob, parent_id: str | None) -> CheckedJob:
    """Returns what was accepted of a job that JobService has."""
    return CheckedJob(
        runs=job.runs if job.HasField("runs") else None,
        variables_json=job.variables_json if job.HasField("variables_json") else None,
        program_hash=job.program_hash if job.HasField("program_hash") else None,
        parent_id=parent_id,
    )


def job_messages(new: NewJobs) -> list[Job]:
    """Returns what the caller is told of the jobs."""
    batch, created = new.batch, to_timestamp(new.created_at)
    # Merged as bytes, what all have in common takes half as long as field by field.
    common = Job(
        status=JobStatus.JOB_STATUS_PENDING,
        batch_id=batch.id,
        project_id=batch.project_id,
        user_id=batch.user_id,
        create_time=created,
        update_time=created,
        origin=ORIGIN_TO_MESSAGE[batch.origin],
    ).SerializeToString()
    messages = [
        Job(
            id=job_id,
            parent_id=job.parent_id,
            runs=job.runs,
            variables_json=job.variables_json,
            creation_order=order,
        )
        for order, job_id, job in new.numbered()
    ]
    for message in messages:
        message.MergeFromString(common)
    return messages
