"""Times in tables: whole microseconds since 1970 in UTC, cheap to read, to compare and to index."""

import time
from collections.abc import Callable

from google.protobuf.timestamp_pb2 import Timestamp

#: Says what time it is; a parameter of the stores, so that tests need not wait.
Clock = Callable[[], int]


def now_micros() -> int:
    """Returns the present time."""
    return time.time_ns() // 1000


def to_timestamp(micros: int) -> Timestamp:
    """Converts a time of a table into a message."""
    return Timestamp(seconds=micros // 1_000_000, nanos=micros % 1_000_000 * 1000)


def set_timestamp(timestamp: Timestamp, micros: int) -> None:
    """Writes a time of a table into a part of a message."""
    timestamp.seconds, micros = divmod(micros, 1_000_000)
    timestamp.nanos = micros * 1000


def from_timestamp(timestamp: Timestamp) -> int:
    """Converts a time of a message for a table."""
    return timestamp.seconds * 1_000_000 + timestamp.nanos // 1000
