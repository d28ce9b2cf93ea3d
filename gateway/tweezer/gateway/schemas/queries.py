"""Query parameters of the lists."""

from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
)

from tweezer.gateway.schemas.fields import (
    CANCELING_IN_FILTERS,
    DEPRECATED,
    AnyUuid,
    BatchStatusWord,
    DeviceAvailabilityWord,
    Int32,
    JobOriginWord,
    JobStatusWord,
    Moment,
    QueuePriorityWord,
    SortDirectionWord,
    check_complete,
)


class SliceQuery(BaseModel):
    """Which part of a list whose order is fixed."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    limit: Annotated[int, Field(gt=0, lt=101)] = Field(100, description="Length of the page.")
    offset: Annotated[Int32, Field(ge=0)] = Field(
        0, description="Number of matching items to pass over."
    )


class PageQuery(SliceQuery):
    """Which part of a list, and in which order."""

    order_by: str = Field("created_at", description="Column to order by.")
    order_by_direction: SortDirectionWord = Field("DESC", description="Direction of the order.")


class BatchQuery(PageQuery):
    """Which batches: all conditions must hold, several values of one are alternatives."""

    id: list[AnyUuid] = Field([], fail_fast=True, description="Identifiers.")
    id__starts_with: str | None = Field(None, description="First characters of the identifier.")
    project_id: list[AnyUuid] = Field([], fail_fast=True, description="Owning projects.")
    user_id: list[str] = Field([], description="Creators.")
    device_type: list[str] = Field([], description="Devices.")
    status: list[BatchStatusWord] = Field(
        [], fail_fast=True, description=f"Statuses. {CANCELING_IN_FILTERS}"
    )
    open: bool | None = Field(None, description="Whether jobs can still be added.")
    complete: bool | None = Field(
        None, description="Inverse of `open`.", json_schema_extra=DEPRECATED
    )
    min_jobs: Int32 | None = Field(None, description="Least number of jobs.")
    max_jobs: Int32 | None = Field(None, description="Greatest number of jobs.")
    start_date: Moment | None = Field(
        None, description="Started at or after this time; UTC when it has no offset."
    )
    end_date: Moment | None = Field(
        None, description="Ended at or before this time; UTC when it has no offset."
    )
    queue_priority: list[QueuePriorityWord] = Field([], fail_fast=True, description="Queues.")
    tag: str | None = Field(None, description="Carries this tag.")

    @field_validator("complete")
    @classmethod
    def _agrees_with_open(cls, complete: bool | None, info: ValidationInfo) -> bool | None:
        return check_complete(complete, info)


class JobConditions(BaseModel):
    """Which jobs: all conditions must hold, several values of one are alternatives."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: list[AnyUuid] = Field([], fail_fast=True, description="Identifiers.")
    id__starts_with: str | None = Field(None, description="First characters of the identifier.")
    batch_id: list[AnyUuid] = Field([], fail_fast=True, description="Owning batches.")
    project_id: list[AnyUuid] = Field([], fail_fast=True, description="Owning projects.")
    user_id: list[str] = Field([], description="Creators.")
    status: list[JobStatusWord] = Field(
        [], fail_fast=True, description=f"Statuses. {CANCELING_IN_FILTERS}"
    )
    min_runs: Int32 | None = Field(None, description="Least number of runs.")
    max_runs: Int32 | None = Field(None, description="Greatest number of runs.")
    errors: bool | None = Field(None, description="With errors, or without.")
    origin: list[JobOriginWord] = Field(
        [], fail_fast=True, description="Channels through which jobs come in."
    )
    start_date: Moment | None = Field(
        None, description="Started at or after this time; UTC when it has no offset."
    )
    end_date: Moment | None = Field(
        None, description="Ended at or before this time; UTC when it has no offset."
    )


class JobQuery(JobConditions, PageQuery):
    """Which jobs, and which part of their list."""

    order_by: str = Field(
        "created_at", description="Column to order by; creation_order ranks within a batch."
    )


class JobSelection(JobConditions):
    """Which jobs of a batch something is done to.

    A condition that is not understood is refused: without it more jobs would be selected than
    the caller meant.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)


class DeviceQuery(PageQuery):
    """Which devices: all conditions must hold, several values of one are alternatives."""

    device_type: list[str] = Field([], description="Type names.")
    availability: list[DeviceAvailabilityWord] = Field(
        [], fail_fast=True, description="Whether batches can target them."
    )
    public: bool | None = Field(None, description="Whether anybody may see them.")


class PublicDeviceQuery(DeviceQuery):
    """Which of the devices that anybody may see."""

    include_legacy: bool | None = Field(None, description="Ignored: there are no legacy devices.")


class ActivityQuery(BaseModel):
    """Whose activity."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    project_id: list[AnyUuid] = Field([], fail_fast=True, description="Projects.")


class ProjectQuery(BaseModel):
    """Which projects."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    project_status: str | None = Field(None, description="State; all projects are ACTIVE.")


def parameters(model: type[BaseModel]) -> list[dict[str, Any]]:
    """Returns the OpenAPI parameters of a query model."""
    documented: list[dict[str, Any]] = []
    for name, schema in model.model_json_schema()["properties"].items():
        description = schema.pop("description")
        documented.append(
            {
                "name": name,
                "in": "query",
                "required": False,
                "description": description,
                "deprecated": schema.pop("deprecated", False),
                "schema": _never_null(schema),
            }
        )
    return documented


def _never_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Returns the schema of what can be left out, but not be sent as null in a query."""
    options = [option for option in schema.get("anyOf", ()) if option != {"type": "null"}]
    if len(options) != 1:
        return schema
    others = {key: value for key, value in schema.items() if key not in ("anyOf", "default")}
    return {**others, **options[0]}
