"""What the answers carry."""

from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from tweezer.gateway.schemas.fields import (
    DEPRECATED,
    BatchStatusWord,
    DeviceAvailabilityWord,
    JobStatusWord,
    QueuePriorityWord,
)

_STATUS: Final = "Current status; what is being stopped is shown as RUNNING, never as CANCELING."


class Answer(BaseModel):
    """Base of what the API answers: nothing but the listed keys."""

    model_config = ConfigDict(extra="forbid")


class _BatchFacts(Answer):
    id: UUID = Field(description="Identifier of the batch.")
    parent_id: UUID | None = Field(description="Batch this one repeats.")
    status: BatchStatusWord = Field(description=_STATUS)
    complete: bool = Field(description="Inverse of `open`.", json_schema_extra=DEPRECATED)
    open: bool = Field(description="Whether jobs can still be added.")
    priority: int = Field(description="Always 0.", json_schema_extra=DEPRECATED)
    device_type: str = Field(description="Device that runs the batch.")
    user_id: str = Field(description="User who created the batch.")
    project_id: UUID = Field(description="Project that owns the batch.")
    created_at: datetime = Field(description="When the batch was created.")
    updated_at: datetime = Field(description="When the batch last changed.")
    jobs_count: int = Field(description="Number of jobs.")
    jobs_count_per_status: dict[JobStatusWord, int] = Field(
        description="Number of jobs in each status that occurs."
    )
    tags: list[str] = Field(description="Labels.", json_schema_extra={"uniqueItems": True})
    configuration: dict[str, Any] | None = Field(
        description="Legacy emulator options.", json_schema_extra=DEPRECATED
    )
    backend_configuration: str | None = Field(
        description="Pulser's serialised emulation configuration."
    )
    webhook: str | None = Field(description="URL that is told about results.")
    start_datetime: datetime | None = Field(description="When the first job started.")
    end_datetime: datetime | None = Field(description="When the batch became final.")
    queue_priority: QueuePriorityWord = Field(description="Queue the batch waits in.")


class BatchListItem(_BatchFacts):
    """A batch in a list: without its sequence and its jobs."""


class BatchDetail(_BatchFacts):
    """A batch with its sequence and the identifiers of its jobs."""

    sequence_builder: str | None = Field(
        description="Serialised sequence that the jobs share; null when each has its own."
    )
    job_ids: list[UUID] = Field(description="Identifiers of the jobs in creation order.")


class _JobFacts(Answer):
    id: UUID = Field(description="Identifier of the job.")
    parent_id: UUID | None = Field(description="Job this one repeats.")
    status: JobStatusWord = Field(description=_STATUS)
    runs: int | None = Field(description="How often the sequence is repeated, where given.")
    batch_id: UUID = Field(description="Batch the job belongs to.")
    project_id: UUID = Field(description="Project the job belongs to.")
    created_at: datetime = Field(description="When the job was created.")
    updated_at: datetime = Field(description="When the job last changed.")
    start_timestamp: datetime | None = Field(description="When the device started the job.")
    end_timestamp: datetime | None = Field(description="When the job became final.")
    variables: dict[str, Any] | None = Field(description="Values of the sequence's variables.")
    errors: list[str] = Field(description="What went wrong, one sentence each.")
    progress: int = Field(ge=0, le=100, description="Percentage done.")
    creation_order: int = Field(description="Rank within the batch, rising with creation.")


class JobPartialV1(_JobFacts):
    """A job in a batch with its jobs."""

    sequence: str | None = Field(description="Serialised sequence built for the job.")


class JobPartialV2(_JobFacts):
    """A job in a list: without its sequence and its result."""

    slurm_job_id: str | None = Field(description="Cluster job that ran it.")
    slurm_cluster_name: str | None = Field(description="Cluster that ran it.")


class JobFull(JobPartialV2):
    """A job with its sequence."""

    sequence: str | None = Field(description="Serialised sequence built for the job.")


class BatchWithJobs(_BatchFacts):
    """A batch with its jobs."""

    sequence_builder: str | None = Field(
        description="Serialised sequence that the jobs share; null when each has its own."
    )
    jobs: list[JobPartialV1] = Field(description="Jobs in creation order.")


class BatchWithoutJobs(_BatchFacts):
    """A batch with its sequence."""

    sequence_builder: str | None = Field(
        description="Serialised sequence that the jobs share; null when each has its own."
    )


class BatchBulkCancelResponse(Answer):
    """What became of several batches that were to be cancelled."""

    batches: list[BatchWithoutJobs] = Field(description="Batches that were cancelled.")
    errors: dict[UUID, str] = Field(
        description="Why a batch was left alone, by identifier of the batch."
    )


class JobBulkCancelResponse(Answer):
    """What became of several jobs that were to be cancelled."""

    jobs: list[JobPartialV1] = Field(description="Jobs that were cancelled.")
    errors: dict[UUID, str] = Field(
        description="Why a job was left alone, by identifier of the job."
    )


class BatchStatusResponse(Answer):
    """What a client polls while a batch runs."""

    status: BatchStatusWord = Field(description=_STATUS)
    jobs_count_per_status: dict[JobStatusWord, int] = Field(
        description="Number of jobs in each status that occurs."
    )


class JobStatusResponse(Answer):
    """What a client polls while a job runs."""

    status: JobStatusWord = Field(description=_STATUS)


class ResultsLink(Answer):
    """Where the result of a job is."""

    results_link: str | None = Field(
        description="Link that needs no token and expires; null while there is no result."
    )


class JobResult(BaseModel):
    """The result file of a job."""

    counter: dict[str, int] | None = Field(
        None, description="How often each bitstring was measured."
    )
    raw: list[str] | None = Field(None, description="The bitstrings in the order of the shots.")
    serialised_results: str | None = Field(
        None, description="Pulser's serialised results, where a backend configuration was given."
    )


class LegacyJobWithResults(Answer):
    """A job as API version 1 shows it, with its result."""

    id: UUID = Field(description="Identifier of the job.")
    parent_id: UUID | None = Field(description="Job this one repeats.")
    status: JobStatusWord = Field(description=_STATUS)
    runs: int | None = Field(description="How often the sequence is repeated, where given.")
    batch_id: UUID = Field(description="Batch the job belongs to.")
    project_id: UUID = Field(description="Project the job belongs to.")
    created_at: datetime = Field(description="When the job was created.")
    updated_at: datetime = Field(description="When the job last changed.")
    start_timestamp: datetime | None = Field(description="When the device started the job.")
    end_timestamp: datetime | None = Field(description="When the job became final.")
    variables: dict[str, Any] | None = Field(description="Values of the sequence's variables.")
    errors: list[str] = Field(description="What went wrong, one sentence each.")
    result: dict[str, int] | None = Field(
        None, description="How often each bitstring was measured. Not in answers to changes."
    )
    full_result: JobResult | None = Field(
        None,
        description="The result file; null while there is none. Not in answers to changes.",
    )


class LegacyBatchWithResults(_BatchFacts):
    """A batch as API version 1 shows it, with its jobs and their results."""

    sequence_builder: str | None = Field(
        description="Serialised sequence that the jobs share; null when each has its own."
    )
    jobs: list[LegacyJobWithResults] = Field(description="Jobs in creation order.")


class BatchResultsLinks(Answer):
    """Where the results of a batch are."""

    results_links: dict[UUID, str] = Field(
        description="Link that needs no token and expires, by identifier of each job with a result."
    )


class ProjectLastActivity(Answer):
    """When a project was last active."""

    project_id: UUID = Field(description="Identifier of the project.")
    last_activity_date: datetime = Field(description="When it last created a batch or added a job.")


class DeviceSpecs(Answer):
    """What a device can do."""

    device_type: str = Field(description="Type name.")
    specs: str = Field(description="The device in Pulser's abstract representation.")


class Device(Answer):
    """Something that batches can run on."""

    id: UUID = Field(description="Identifier of the device.")
    name: str = Field(description="The same as `device_type`.", json_schema_extra=DEPRECATED)
    device_type: str = Field(description="Type name.")
    status: str = Field(description="Operational state; UP when jobs are being taken.")
    average_queue_time: int = Field(description="Mean wait over the last hour, in seconds.")
    max_atom_num: int | None = Field(description="Largest register; null without a limit.")
    is_emulator: bool = Field(description="Whether it is an emulator.")
    channels: list[str] | None = Field(description="Names of the channels.")
    status_message: str | None = Field(description="Why it is in this state.")
    allowed_result_types: list[str] = Field(description="Kinds of result it can give.")
    default_result_types: list[str] = Field(description="Kinds of result it gives unasked.")
    active: bool = Field(
        description="Whether `availability` is ACTIVE.", json_schema_extra=DEPRECATED
    )
    description: str | None = Field(description="What it is.")
    bill_usage: bool = Field(description="Whether its use is billed; nothing here is.")
    availability: DeviceAvailabilityWord = Field(description="Whether batches can target it.")
    has_execution_logs: bool = Field(description="Whether its jobs have logs; none has at present.")


class BatchQueueItem(Answer):
    """A batch that waits for a device or runs on it."""

    id: UUID = Field(description="Identifier of the batch.")
    parent_id: UUID | None = Field(description="Batch this one repeats.")
    status: BatchStatusWord = Field(description=_STATUS)
    open: bool = Field(description="Whether jobs can still be added.")
    device_type: str = Field(description="Device that runs the batch.")
    user_id: str = Field(description="User who created the batch.")
    project_id: UUID = Field(description="Project that owns the batch.")
    created_at: datetime = Field(description="When the batch was created.")
    updated_at: datetime = Field(description="When the batch last changed.")
    jobs_count: int = Field(description="Number of jobs.")
    jobs_count_per_status: dict[JobStatusWord, int] = Field(
        description="Number of jobs in each status that occurs."
    )
    tags: list[str] = Field(description="Labels.", json_schema_extra={"uniqueItems": True})
    configuration: dict[str, Any] | None = Field(
        description="Legacy emulator options.", json_schema_extra=DEPRECATED
    )
    backend_configuration: str | None = Field(
        description="Pulser's serialised emulation configuration."
    )
    start_datetime: datetime | None = Field(description="When the first job started.")
    end_datetime: datetime | None = Field(description="When the batch became final.")
    queue_priority: QueuePriorityWord = Field(description="Queue the batch waits in.")


class AuthInfo(Answer):
    """Whom the token speaks for."""

    id: str = Field(description="Identifier of the user.")
    type: Literal["user"] = Field(description="Kind of caller; all are users.")
    superuser: bool = Field(description="Whether the caller is an operator.")
    projects: dict[UUID, str] = Field(description="Names of the caller's projects, by identifier.")
    allowed_device_types: list[str] = Field(description="Devices the caller may use.")


class Project(Answer):
    """A project of the caller."""

    id: UUID = Field(description="Identifier of the project.")
    project_id: UUID = Field(description="The same.")
    name: str = Field(description="Name.")
    project_status: Literal["ACTIVE"] = Field(description="There are no other projects.")
    queue_priority: QueuePriorityWord = Field(description="Queue of its batches.")


class Alive(Answer):
    """Nothing: that there is an answer says it."""


class Readiness(Answer):
    """State of the services behind the gateway."""

    services: dict[str, str] = Field(description="gRPC health of each service.")


class TokenResponse(Answer):
    """A bearer token."""

    access_token: str = Field(description="The token, a JWT.")
    token_type: Literal["Bearer"] = Field(description="How to send it.")
    expires_in: int = Field(description="Lifetime in seconds.")


class TokenError(Answer):
    """Why there is no token, in the form of OAuth 2."""

    error: str = Field(description="One of the error codes of OAuth 2.")
    error_description: str = Field(description="One sentence.")
