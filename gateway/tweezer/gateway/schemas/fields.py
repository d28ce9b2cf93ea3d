"""Types of single fields that several models share."""

import re
from datetime import UTC, datetime
from typing import Annotated, Final, Literal
from uuid import UUID

from annotated_types import Ge, Le
from pydantic import (
    AfterValidator,
    BeforeValidator,
    JsonValue,
    Strict,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

BatchStatusWord = Literal[
    "PENDING", "RUNNING", "DONE", "CANCELED", "CANCELING", "TIMED_OUT", "ERROR", "PAUSED"
]
JobStatusWord = Literal["PENDING", "RUNNING", "DONE", "ERROR", "CANCELED", "CANCELING"]
QueuePriorityWord = Literal["CRITICAL", "HIGH", "MEDIUM", "LOW", "FREE"]
DeviceAvailabilityWord = Literal["ACTIVE", "INACTIVE", "RETIRED"]
JobOriginWord = Literal["CLIENT", "AZURE", "OVH", "UNKNOWN"]
SortDirectionWord = Literal["ASC", "DESC"]

#: What a filter by status says about the status that answers never show.
CANCELING_IN_FILTERS: Final = (
    "What is being stopped (CANCELING) is shown as RUNNING and found by both words."
)

#: Marks a field as deprecated for readers only: pydantic's own mark warns at each use.
DEPRECATED: Final[dict[str, JsonValue]] = {"deprecated": True}

#: How a date begins.
_YEAR: Final = re.compile(r"\d{4}-")

#: Whole numbers as wide as the services carry them.
Int32 = Annotated[int, Ge(-(2**31)), Le(2**31 - 1)]


def canonical_uuid(text: str) -> str:
    """Returns a UUID, given in any of its spellings, in the canonical one."""
    try:
        return str(UUID(text))
    except ValueError:
        raise PydanticCustomError("uuid_parsing", "Input should be a valid UUID") from None


def uuid_or_nothing(text: str | None) -> str | None:
    """Returns a UUID in the canonical spelling, or None for no text."""
    return canonical_uuid(text) if text else None


AnyUuid = Annotated[
    str, AfterValidator(canonical_uuid), WithJsonSchema({"type": "string", "format": "uuid"})
]


def _written_out(value: object) -> object:
    """Refuses the numbers that pydantic takes for seconds or milliseconds since 1970."""
    if not isinstance(value, str) or not _YEAR.match(value):
        raise PydanticCustomError("datetime_parsing", "Input should be a valid datetime")
    return value


def _in_utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        # The public client sends naive times as they are; the API speaks UTC.
        return moment.replace(tzinfo=UTC)
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise PydanticCustomError(
            "date_out_of_range", "Input should be a date that exists"
        ) from None


Moment = Annotated[
    datetime,
    # Of a body too, text is what is left of the JSON when the first check has seen it.
    Strict(False),
    BeforeValidator(_written_out),
    AfterValidator(_in_utc),
]


def check_complete(complete: bool | None, info: ValidationInfo) -> bool | None:
    """Refuses a `complete` that contradicts `open`; shared by bodies and queries."""
    if complete is not None and complete is info.data.get("open"):
        raise PydanticCustomError("conflict", "complete is the inverse of open and contradicts it")
    return complete
