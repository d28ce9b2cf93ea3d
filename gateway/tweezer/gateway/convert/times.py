"""Protobuf timestamps to datetimes, which orjson prints, and back."""

from datetime import UTC, datetime, timedelta
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def moment(timestamp: Timestamp) -> datetime:
    """Returns the moment in UTC, to the microsecond."""
    return _EPOCH + timedelta(0, timestamp.seconds, timestamp.nanos // 1000)


def timestamp(moment: datetime | None) -> Timestamp | None:
    """Returns the protobuf form of a moment in UTC."""
    if moment is None:
        return None
    since = moment - _EPOCH
    return Timestamp(seconds=since.days * 86_400 + since.seconds, nanos=since.microseconds * 1000)
