"""The words of the REST API for the values of protobuf enums."""

from collections.abc import Mapping
from typing import Any, Final

from google.protobuf.descriptor import EnumDescriptor

from tweezer.v1 import batch_pb2, device_pb2, job_pb2, paging_pb2


def words_of(enum: EnumDescriptor, prefix: str) -> Mapping[Any, str]:
    """Returns the word of each value; zero, which no service sends, has none."""
    return {v.number: v.name.removeprefix(prefix) for v in enum.values if v.number}


def numbers_of(words: Mapping[Any, str]) -> Mapping[str, Any]:
    """Returns the value of each word."""
    return {word: number for number, word in words.items()}


QUEUE_PRIORITY: Final = words_of(batch_pb2.QueuePriority.DESCRIPTOR, "QUEUE_PRIORITY_")
JOB_ORIGIN: Final = words_of(job_pb2.JobOrigin.DESCRIPTOR, "JOB_ORIGIN_")
DEVICE_AVAILABILITY: Final = words_of(
    device_pb2.DeviceAvailability.DESCRIPTOR, "DEVICE_AVAILABILITY_"
)

QUEUE_PRIORITY_OF: Final = numbers_of(QUEUE_PRIORITY)
JOB_ORIGIN_OF: Final = numbers_of(JOB_ORIGIN)
DEVICE_AVAILABILITY_OF: Final = numbers_of(DEVICE_AVAILABILITY)
SORT_DIRECTION_OF: Final = numbers_of(
    words_of(paging_pb2.SortDirection.DESCRIPTOR, "SORT_DIRECTION_")
)
