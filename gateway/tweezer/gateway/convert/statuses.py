"""Statuses as the REST API shows them, and what its filters select.

The services tell a job or a batch that is being stopped (CANCELING) from one that runs; clients of
the REST API see RUNNING for both, in statuses and in counts. The public client looks statuses up in
lists that lack CANCELING and fails on it. A filter for RUNNING finds what is shown as RUNNING; one
for CANCELING finds what is being stopped.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from tweezer.gateway.convert.words import numbers_of, words_of
from tweezer.v1 import batch_pb2, job_pb2
from tweezer.v1.batch_pb2 import BatchStatus, JobCounts
from tweezer.v1.job_pb2 import JobStatus

#: The word that is shown for each value.
BATCH_STATUS: Final[Mapping[Any, str]] = {
    **words_of(BatchStatus.DESCRIPTOR, "BATCH_STATUS_"),
    batch_pb2.BATCH_STATUS_CANCELING: "RUNNING",
}
JOB_STATUS: Final[Mapping[Any, str]] = {
    **words_of(JobStatus.DESCRIPTOR, "JOB_STATUS_"),
    job_pb2.JOB_STATUS_CANCELING: "RUNNING",
}

#: The value that has each word.
BATCH_STATUS_OF: Final = numbers_of(words_of(BatchStatus.DESCRIPTOR, "BATCH_STATUS_"))
JOB_STATUS_OF: Final = numbers_of(words_of(JobStatus.DESCRIPTOR, "JOB_STATUS_"))


def batch_statuses(words: Iterable[str]) -> list[BatchStatus.ValueType]:
    """Returns the statuses that the words of a filter select."""
    return _selected(words, BATCH_STATUS_OF)


def job_statuses(words: Iterable[str]) -> list[JobStatus.ValueType]:
    """Returns the statuses that the words of a filter select."""
    return _selected(words, JOB_STATUS_OF)


def _selected(words: Iterable[str], values: Mapping[str, Any]) -> list[Any]:
    wanted = list(dict.fromkeys(words))
    if "RUNNING" in wanted and "CANCELING" not in wanted:
        wanted.append("CANCELING")
    return [values[word] for word in wanted]


def job_counts(counts: JobCounts) -> dict[str, int]:
    """Returns the number of jobs in each status that is shown."""
    by_status = (
        ("PENDING", counts.pending),
        ("RUNNING", counts.running + counts.canceling),
        ("DONE", counts.done),
        ("ERROR", counts.error),
        ("CANCELED", counts.canceled),
    )
    return {status: count for status, count in by_status if count}
