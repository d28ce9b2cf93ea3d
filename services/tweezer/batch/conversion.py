"""Between the rows of our tables and the messages of the API."""

from collections.abc import Mapping, Sequence
from typing import Final

import orjson

from tweezer.batch.models import ORIGINS, QUEUE_PRIORITIES
from tweezer.batch.store.rows import BatchRow
from tweezer.database.timestamps import to_timestamp
from tweezer.lifecycle import BatchStatus, JobCounts
from tweezer.v1 import batch_pb2, job_pb2

STATUS_TO_MESSAGE: Final[Mapping[str, batch_pb2.BatchStatus.ValueType]] = {
    status.value: batch_pb2.BatchStatus.Value(f"BATCH_STATUS_{status}") for status in BatchStatus
}
STATUS_FROM_MESSAGE: Final[Mapping[batch_pb2.BatchStatus.ValueType, str]] = {
    v: k for k, v in STATUS_TO_MESSAGE.items()
}

PRIORITY_TO_MESSAGE: Final[Mapping[str, batch_pb2.QueuePriority.ValueType]] = {
    word: batch_pb2.QueuePriority.Value(f"QUEUE_PRIORITY_{word}") for word in QUEUE_PRIORITIES
}
PRIORITY_FROM_MESSAGE: Final[Mapping[batch_pb2.QueuePriority.ValueType, str]] = {
    v: k for k, v in PRIORITY_TO_MESSAGE.items()
}

ORIGIN_TO_MESSAGE: Final[Mapping[str, job_pb2.JobOrigin.ValueType]] = {
    word: job_pb2.JobOrigin.Value(f"JOB_ORIGIN_{word}") for word in ORIGINS
}
ORIGIN_FROM_MESSAGE: Final[Mapping[job_pb2.JobOrigin.ValueType, str]] = {
    v: k for k, v in ORIGIN_TO_MESSAGE.items()
}


def batch_to_message(
    row: BatchRow, sequence: str | None = None, job_ids: Sequence[str] = ()
) -> batch_pb2.Batch:
    """Converts a batch."""
    return batch_pb2.Batch(
        id=row.id,
        parent_id=row.parent_id,
        status=STATUS_TO_MESSAGE[row.status],
        open=row.open,
        device_type=row.device_type,
        user_id=row.user_id,
        project_id=row.project_id,
        create_time=to_timestamp(row.created_at),
        update_time=to_timestamp(row.updated_at),
        start_time=None if row.start_at is None else to_timestamp(row.start_at),
        end_time=None if row.end_at is None else to_timestamp(row.end_at),
        jobs_count=row.jobs_count,
        job_counts=counts_to_message(row.counts),
        tags=orjson.loads(row.tags),
        configuration_json=row.configuration_json,
        backend_configuration=row.backend_configuration,
        webhook=row.webhook,
        queue_priority=PRIORITY_TO_MESSAGE[row.queue_priority],
        sequence=sequence,
        job_ids=job_ids,
    )


def counts_to_message(counts: JobCounts) -> batch_pb2.JobCounts:
    """Converts job counts."""
    return batch_pb2.JobCounts(
        pending=counts.pending,
        running=counts.running,
        canceling=counts.canceling,
        done=counts.done,
        error=counts.error,
        canceled=counts.canceled,
    )
