"""Query parameters of the lists."""

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
)
from pydantic_core import PydanticCustomError

from tweezer.gateway.schemas.fields import (
    DEPRECATED,
    AnyUuid,
    BatchStatusWord,
    Int32,
    JobOriginWord,
    JobStatusWord,
    QueuePriorityWord,
    SortDirectionWord,
    check_complete,
)


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


Moment = Annotated[datetime, AfterValidator(_in_utc)]


class PageQuery(BaseModel):
    """Which page of a list, and in which order."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    order_by: str = Field("created_at", description="Column to order by.")
    order_by_direction: SortDirectionWord = Field("DESC", description="Direction of the order.")
    limit: Annotated[int, Field(gt=0, lt=101)] = Field(100, description="Length of the page.")
    offset: Annotated[Int32, Field(ge=0)] = Field(
        0, description="Number of matching items to pass over."
    )


class BatchQuery(PageQuery):
    """Which batches: all conditions must hold, several values of one are alternatives."""

    id: list[AnyUuid] = Field([], fail_fast=True, description="Identifiers.")
    id__starts_with: str | None = Field(None, description="First characters of the identifier.")
    project_id: list[AnyUuid] = Field([], fail_fast=True, description="Owning projects.")
    user_id: list[str] = Field([], description="Creators.")
    device_type: list[str] = Field([], description="Devices.")
    status: list[BatchStatusWord] = Field([], fail_fast=True, description="Statuses.")
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


class JobQuery(PageQuery):
    """Which jobs: all conditions must hold, several values of one are alternatives."""

    order_by: str = Field(
        "created_at", description="Column to order by; creation_order ranks within a batch."
    )
    id: list[AnyUuid] = Field([], fail_fast=True, description="Identifiers.")
    id__starts_with: str | None = Field(None, description="First characters of the identifier.")
    batch_id: list[AnyUuid] = Field([], fail_fast=True, description="Owning batches.")
    project_id: list[AnyUuid] = Field([], fail_fast=True, description="Owning projects.")
    user_id: list[str] = Field([], description="Creators.")
    status: list[JobStatusWord] = Field([], fail_fast=True, description="Statuses.")
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
                "schema": schema,
            }
        )
    return documented
