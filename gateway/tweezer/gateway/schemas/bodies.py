"""Request bodies."""

from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    with_config,
)
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from tweezer.gateway.schemas.fields import DEPRECATED, AnyUuid, Int32, check_complete


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
