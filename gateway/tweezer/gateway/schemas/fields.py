"""Types of single fields that several models share."""

from typing import Annotated, Final, Literal
from uuid import UUID

from annotated_types import Ge, Le
from pydantic import AfterValidator, JsonValue, ValidationInfo, WithJsonSchema
from pydantic_core import PydanticCustomError

BatchStatusWord = Literal[
    "PENDING", "RUNNING", "DONE", "CANCELED", "CANCELING", "TIMED_OUT", "ERROR", "PAUSED"
]
JobStatusWord = Literal["PENDING", "RUNNING", "DONE", "ERROR", "CANCELED", "CANCELING"]
QueuePriorityWord = Literal["CRITICAL", "HIGH", "MEDIUM", "LOW", "FREE"]
JobOriginWord = Literal["CLIENT", "AZURE", "OVH", "UNKNOWN"]
SortDirectionWord = Literal["ASC", "DESC"]

#: Marks a field as deprecated for readers only: pydantic's own mark warns at each use.
DEPRECATED: Final[dict[str, JsonValue]] = {"deprecated": True}

#: Whole numbers as wide as the services carry them.
Int32 = Annotated[int, Ge(-(2**31)), Le(2**31 - 1)]


def canonical_uuid(text: str) -> str:
    """Returns a UUID, given in any of its spellings, in the canonical one."""
    try:
        return str(UUID(text))
    except ValueError:
        raise PydanticCustomError("uuid_parsing", "Input should be a valid UUID") from None


AnyUuid = Annotated[
    str, AfterValidator(canonical_uuid), WithJsonSchema({"type": "string", "format": "uuid"})
]


def check_complete(complete: bool | None, info: ValidationInfo) -> bool | None:
    """Refuses a `complete` that contradicts `open`; shared by bodies and queries."""
    if complete is not None and complete is info.data.get("open"):
        raise PydanticCustomError("conflict", "complete is the inverse of open and contradicts it")
    return complete
