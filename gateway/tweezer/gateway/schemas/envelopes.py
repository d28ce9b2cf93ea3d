"""What the answers are wrapped in, JSend, and its errors."""

from typing import Generic, Literal, TypeVar

from pydantic import Field

from tweezer.gateway.schemas.answers import Answer

T = TypeVar("T")


class Success(Answer, Generic[T]):
    """Envelope of one item."""

    status: Literal["success"]
    message: str
    code: str = Field(description="HTTP status as text.")
    data: T


class Pagination(Answer):
    """Which part of a list an answer holds."""

    total: int = Field(description="Number of items over all pages.")
    start: int = Field(description="Offset of this page.")
    end: int = Field(description="Offset of the next page.")


class SuccessPage(Answer, Generic[T]):
    """Envelope of one page of a list."""

    status: Literal["success"]
    message: str
    code: str = Field(description="HTTP status as text.")
    data: list[T]
    pagination: Pagination


class ProblemItem(Answer):
    """One thing wrong with a request."""

    loc: list[str | int] = Field(description="Path of the field at fault.")
    msg: str = Field(description="What is wrong.")
    type: str = Field(description="Kind of fault, for programs.")


class InvalidData(Answer):
    """Everything found wrong with a request."""

    description: list[ProblemItem]


class FailureData(Answer):
    """Why a request failed."""

    description: str
    request_id: str | None = Field(
        None, description="What the operator finds the error by; with status 500 only."
    )


class Failure(Answer):
    """Envelope of an error."""

    status: Literal["fail", "error"] = Field(description="`fail` below 500, else `error`.")
    message: str = Field(description="Name of the HTTP status.")
    code: str = Field(description="HTTP status as text.")
    data: FailureData


class UnreadyData(Answer):
    """Which services serve and which do not."""

    description: str
    services: dict[str, str] = Field(description="gRPC health or status of each service.")


class Unready(Answer):
    """Envelope of the answer that not all services serve."""

    status: Literal["error"]
    message: str = Field(description="Name of the HTTP status.")
    code: str = Field(description="HTTP status as text.")
    data: UnreadyData


class Invalid(Answer):
    """Envelope of an error in the input."""

    status: Literal["fail"]
    message: str = Field(description="Name of the HTTP status.")
    code: str = Field(description="HTTP status as text.")
    data: InvalidData
