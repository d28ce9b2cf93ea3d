"""Request bodies."""

from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    RootModel,
    ValidationInfo,
    field_validator,
    model_validator,
    with_config,
)
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from tweezer.gateway.schemas.fields import (
    DEPRECATED,
    AnyUuid,
    Int32,
    Moment,
    QueuePriorityWord,
    check_complete,
    uuid_or_nothing,
)

T = TypeVar("T")

#: At least one item, because an empty list could be taken for "all".
_Some = Annotated[list[T], Field(min_length=1, fail_fast=True)]


@with_config(ConfigDict(strict=True))
class CreateJob(TypedDict, total=False):
    """A job to create.

    A dictionary and not a model: a body may hold very many.
    """

    runs: Annotated[Int32 | None, Field(description="How often the sequence is repeated.")]
    variables: Annotated[
        dict[str, Any] | None,
        Field(description="Values of the sequence's variables. Excludes `sequence`."),
    ]
    sequence: Annotated[
        str | None,
        Field(
            description="Serialised Pulser sequence of this job alone. Excludes `variables`; "
            "needed when the batch has no `sequence_builder`."
        ),
    ]


class CreateBatch(BaseModel):
    """A batch to create. Keys that are not listed are ignored."""

    model_config = ConfigDict(strict=True, extra="ignore")

    project_id: AnyUuid = Field(description="Project that owns the batch.")
    sequence_builder: str | None = Field(
        None,
        description="Serialised Pulser sequence that the jobs share; may be parametrised. "
        "Optional if each job has its own.",
    )
    jobs: list[CreateJob] | None = Field(
        None, fail_fast=True, description="Jobs of the batch; at least one unless it is open."
    )
    open: bool | None = Field(
        None, description="Whether jobs can be added later; closed when not given."
    )
    complete: bool | None = Field(
        None, description="Inverse of `open`.", json_schema_extra=DEPRECATED
    )
    device_type: str | None = Field(
        None, description="Device to run on; taken from the sequence when not given."
    )
    emulator: str | None = Field(
        None, description="Old name of `device_type`.", json_schema_extra=DEPRECATED
    )
    backend_configuration: str | None = Field(
        None, description="Pulser's serialised emulation configuration."
    )
    configuration: dict[str, Any] | None = Field(
        None, description="Legacy emulator options.", json_schema_extra=DEPRECATED
    )
    tags: list[str] | None = Field(None, fail_fast=True, description="Labels to find the batch by.")
    webhook: str | None = Field(None, description="URL that is told about results.")
    priority: Any = Field(None, description="Ignored.", json_schema_extra=DEPRECATED)

    @field_validator("complete")
    @classmethod
    def _agrees_with_open(cls, complete: bool | None, info: ValidationInfo) -> bool | None:
        return check_complete(complete, info)

    @field_validator("emulator")
    @classmethod
    def _agrees_with_device_type(cls, emulator: str | None, info: ValidationInfo) -> str | None:
        device_type = info.data.get("device_type")
        if emulator and device_type and emulator != device_type:
            raise PydanticCustomError(
                "conflict", "emulator is the old name of device_type and names another device"
            )
        return emulator


class CreateOvhBatch(CreateBatch):
    """A batch to create for an OVH user. Keys that are not listed are ignored."""

    project_id: Annotated[str | None, AfterValidator(uuid_or_nothing)] = Field(  # type: ignore[assignment]
        None,
        description="Project that owns the batch; may be empty when the caller has just one.",
    )


class CreateJobInBatch(BaseModel):
    """A job to add to an open batch. Keys that are not listed are ignored."""

    model_config = ConfigDict(strict=True, extra="ignore")

    batch_id: AnyUuid = Field(description="Batch the job is added to.")
    runs: Int32 = Field(description="How often the sequence is repeated.")
    variables: dict[str, Any] | None = Field(
        None, description="Values of the sequence's variables."
    )


class AddJobs(RootModel[list[CreateJob]]):
    """Jobs to add to a batch: a bare list."""

    model_config = ConfigDict(strict=True)

    root: list[CreateJob] = Field(min_length=1, fail_fast=True, description="At least one job.")


class SetTags(RootModel[list[str]]):
    """All tags of a batch from now on: a bare list."""

    model_config = ConfigDict(strict=True)

    root: list[str] = Field(fail_fast=True, description="Labels, without repetition.")


class CancelBatches(BaseModel):
    """Which batches to cancel: by `batch_ids`, by criteria that all must hold, or `cancel_all`.

    Other keys are refused: a criterion that does not count would let too many batches be cancelled.
    """

    model_config = ConfigDict(strict=True, extra="forbid")

    batch_ids: _Some[AnyUuid] | None = Field(
        None, description="Batches to cancel; the criteria do not count beside them."
    )
    project_id: _Some[AnyUuid] | None = Field(None, description="Owning projects.")
    user_id: _Some[str] | None = Field(None, description="Creators.")
    device_type: _Some[str] | None = Field(None, description="Devices.")
    status: _Some[Literal["PENDING", "RUNNING"]] | None = Field(
        None, description="Statuses; the others are final or being cancelled."
    )
    open: bool | None = Field(None, description="Whether jobs can still be added.")
    start_date: Moment | None = Field(
        None, description="Started at or after this time; UTC when it has no offset."
    )
    queue_priority: _Some[QueuePriorityWord] | None = Field(None, description="Queues.")
    tags: _Some[str] | None = Field(None, description="Carries one of these tags.")
    cancel_all: bool | None = Field(
        None, description="Every batch of the caller's projects that is not final; stands alone."
    )

    @model_validator(mode="after")
    def _says_which(self) -> Self:
        given = {
            name for name in type(self).model_fields if getattr(self, name) not in (None, False)
        }
        if self.open is False:
            given.add("open")
        if not given:
            raise PydanticCustomError(
                "missing", "name batches in batch_ids, give criteria or set cancel_all"
            )
        if self.cancel_all and len(given) > 1:
            raise PydanticCustomError("conflict", "cancel_all stands alone")
        return self
