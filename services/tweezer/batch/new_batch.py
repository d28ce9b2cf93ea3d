"""A batch that was accepted and is about to be stored."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import orjson

from tweezer.batch.checks.admitted import CheckedBatch, CheckedJob
from tweezer.batch.conversion import ORIGIN_FROM_MESSAGE
from tweezer.batch.identifiers import new_addition_id, new_batch_id
from tweezer.batch.new_jobs import NewJobs
from tweezer.batch.store.rows import BatchRow
from tweezer.lifecycle import BatchIntent, JobCounts, batch_status
from tweezer.v1.batch_service_pb2 import CreateBatchRequest


@dataclass(frozen=True)
class NewBatch:
    """The batch, its first addition of jobs, its tags and its programs."""

    jobs: NewJobs
    tags: Sequence[str]
    sequence: str | None
    """What the jobs share."""
    texts: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """The sequences that may not be stored yet, by hash."""

    @property
    def batch(self) -> BatchRow:
        """The batch."""
        return self.jobs.batch

    @property
    def program_hashes(self) -> set[str]:
        """All sequences of the batch and its jobs."""
        shared = self.batch.program_hash
        return self.jobs.program_hashes | ({shared} if shared is not None else set())


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose a new batch is, and where it waits."""

    user_id: str
    project_id: str
    queue_priority: str


def make_batch(
    request: CreateBatchRequest, checked: CheckedBatch, owner: Owner, now: int
) -> NewBatch:
    """Gives an accepted request its identifiers and its place."""
    count = len(checked.jobs)
    status = batch_status(BatchIntent(open=request.open), JobCounts(pending=count))
    row = BatchRow(
        id=new_batch_id(),
        parent_id=None,
        status=status.value,
        open=request.open,
        device_type=checked.device.device_type,
        user_id=owner.user_id,
        project_id=owner.project_id,
        created_at=now,
        updated_at=now,
        start_at=None,
        end_at=None,
        jobs_count=count,
        running=0,
        canceling=0,
        done=0,
        error=0,
        canceled=0,
        tags=orjson.dumps(checked.tags).decode(),
        configuration_json=_given("configuration_json", request),
        backend_configuration=_given("backend_configuration", request),
        webhook=_given("webhook", request),
        queue_priority=owner.queue_priority,
        program_hash=None if checked.program is None else checked.program.hash,
        origin=ORIGIN_FROM_MESSAGE.get(request.origin, "CLIENT"),
    )
    return NewBatch(
        NewJobs(row, checked.device.exclusive, new_addition_id(), 0, checked.jobs, now),
        checked.tags,
        None if checked.program is None else checked.program.text,
        checked.texts,
    )


def make_repetition(
    parent: BatchRow,
    sequence: str | None,
    jobs: Sequence[CheckedJob],
    owner: Owner,
    now: int,
    *,
    exclusive: bool,
) -> NewBatch:
    """Returns a closed batch that repeats some jobs of another."""
    fresh = parent._replace(
        id=new_batch_id(),
        parent_id=parent.id,
        status=batch_status(BatchIntent(), JobCounts(pending=len(jobs))).value,
        open=False,
        user_id=owner.user_id,
        queue_priority=owner.queue_priority,
        created_at=now,
        updated_at=now,
        start_at=None,
        end_at=None,
        jobs_count=len(jobs),
        running=0,
        canceling=0,
        done=0,
        error=0,
        canceled=0,
    )
    new_jobs = NewJobs(fresh, exclusive, new_addition_id(), 0, jobs, now)
    # All its sequences are those of the parent: they are stored.
    return NewBatch(new_jobs, orjson.loads(parent.tags), sequence)


def _given(
    field: Literal["configuration_json", "backend_configuration", "webhook"],
    request: CreateBatchRequest,
) -> str | None:
    value: str = getattr(request, field)
    return value if request.HasField(field) else None
