"""The words of the REST API for the values of protobuf enums."""

from collections.abc import Mapping
from typing import Any, Final

from google.protobuf.descriptor import EnumDescriptor

from tweezer.v1 import batch_pb2, job_pb2, paging_pb2


def _words(enum: EnumDescriptor, prefix: str) -> Mapping[Any, str]:
    """Returns the word of each value; zero, which no service sends, has none."""
    return {v.number: v.name.removeprefix(prefix) for v in enum.values if v.number}


BATCH_STATUS: Final = _words(batch_pb2.BatchStatus.DESCRIPTOR, "BATCH_STATUS_")
JOB_STATUS: Final = _words(job_pb2.JobStatus.DESCRIPTOR, "JOB_STATUS_")
QUEUE_PRIORITY: Final = _words(batch_pb2.QueuePriority.DESCRIPTOR, "QUEUE_PRIORITY_")
JOB_ORIGIN: Final = _words(job_pb2.JobOrigin.DESCRIPTOR, "JOB_ORIGIN_")


def _numbers(words: Mapping[Any, str]) -> Mapping[str, Any]:
    return {word: number for number, word in words.items()}


BATCH_STATUS_OF: Final = _numbers(BATCH_STATUS)
JOB_STATUS_OF: Final = _numbers(JOB_STATUS)
QUEUE_PRIORITY_OF: Final = _numbers(QUEUE_PRIORITY)
JOB_ORIGIN_OF: Final = _numbers(JOB_ORIGIN)
SORT_DIRECTION_OF: Final = _numbers(_words(paging_pb2.SortDirection.DESCRIPTOR, "SORT_DIRECTION_"))
