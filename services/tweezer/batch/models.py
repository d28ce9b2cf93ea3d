"""Tables of the batch service.

The classes say what the tables are; every statement is SQLAlchemy Core on the tables themselves.
"""

from typing import Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ColumnElement,
    ForeignKey,
    Index,
    Table,
    UniqueConstraint,
    false,
    literal_column,
)
from sqlmodel import Field

from tweezer.batch.base import BatchTable, counted_key, one_of
from tweezer.batch.bookkeeping import PROJECT_LOAD, REQUEST
from tweezer.lifecycle import FINAL_BATCH_STATUSES, BatchStatus

__all__ = ["PROJECT_LOAD", "REQUEST", "BatchTable"]  # beside what is defined here

#: Queues, served in this order.
QUEUE_PRIORITIES: Final = ("CRITICAL", "HIGH", "MEDIUM", "LOW", "FREE")

#: Channels through which batches come in.
ORIGINS: Final = ("CLIENT", "AZURE", "OVH", "UNKNOWN")


class Program(BatchTable, table=True):
    """The text of a sequence, once for each content."""

    __tablename__ = "program"
    __table_args__ = ({"sqlite_autoincrement": True},)

    seq: int = Field(sa_column=counted_key())
    hash: str = Field(unique=True)  #: SHA-256 of the text
    sequence: str
    created_at: int = Field(sa_type=BigInteger)
    #: Whether it is known which batches use it. It is not for those of the first release, which did
    #: not keep which sequences the jobs of a batch have: these are never deleted.
    tracked: bool = Field(sa_column_kwargs={"server_default": false()})
    #: Size of the text, and the project that it counts for: the one that sent it first.
    size: int | None = Field(sa_type=BigInteger)
    project_id: str | None


class JobProgram(BatchTable, table=True):
    """That jobs of a batch have a sequence of their own."""

    __tablename__ = "job_program"
    __table_args__ = (
        UniqueConstraint("batch_seq", "program_hash", name="uq_job_program_batch_seq_program_hash"),
        {"sqlite_autoincrement": True},
    )

    seq: int = Field(sa_column=counted_key())
    batch_seq: int = Field(sa_column_args=(ForeignKey("batch.seq"),), sa_type=BigInteger)
    program_hash: str


class Batch(BatchTable, table=True):
    """A batch: what was asked for, and how far it has come.

    The counts are those of JobService's newest report. There is no column for the pending jobs:
    they are what is left of `jobs_count`, so that jobs count from the moment they are added and a
    late report hides none.
    """

    __tablename__ = "batch"
    __table_args__ = (
        CheckConstraint(one_of("status", BatchStatus), name="ck_batch_status"),
        CheckConstraint(one_of("queue_priority", QUEUE_PRIORITIES), name="ck_batch_priority"),
        CheckConstraint(one_of("origin", ORIGINS), name="ck_batch_origin"),
        CheckConstraint(
            "running >= 0 AND canceling >= 0 AND done >= 0 AND error >= 0 AND canceled >= 0"
            " AND running + canceling + done + error + canceled <= jobs_count",
            name="ck_batch_counts",
        ),
        CheckConstraint(
            f"(end_at IS NOT NULL) = ({one_of('status', FINAL_BATCH_STATUSES)})",
            name="ck_batch_end_when_final",
        ),
        CheckConstraint("acknowledged_version <= intent_version", name="ck_batch_acknowledged"),
        CheckConstraint("next_order >= jobs_count", name="ck_batch_next_order"),
        CheckConstraint("idle_since IS NULL OR open", name="ck_batch_idle_when_open"),
        {"sqlite_autoincrement": True},
    )

    seq: int = Field(sa_column=counted_key())
    id: str = Field(unique=True)
    parent_id: str | None
    project_id: str
    user_id: str
    device_type: str
    queue_priority: str
    origin: str
    program_hash: str | None
    backend_configuration: str | None
    configuration_json: str | None
    tags: str  #: JSON list, for showing; `batch_tag` is for finding
    webhook: str | None

    # What was asked for.
    open: bool
    cancelled: bool
    timed_out: bool
    paused: bool
    intent_version: int = Field(sa_type=BigInteger)
    acknowledged_version: int = Field(sa_type=BigInteger)  #: newest that JobService has
    next_order: int  #: creation order of the job that is added next; calls that failed leave gaps

    # How far it has come.
    status: str
    jobs_count: int
    running: int
    canceling: int
    done: int
    error: int
    canceled: int
    progress_version: int = Field(sa_type=BigInteger)

    created_at: int = Field(sa_type=BigInteger)
    updated_at: int = Field(sa_type=BigInteger)
    start_at: int | None = Field(sa_type=BigInteger)  #: when the first job started
    end_at: int | None = Field(sa_type=BigInteger)  #: when it became final
    idle_since: int | None = Field(sa_type=BigInteger)  #: open, and since then without a job to run
    #: Final, and its webhook has not been told.
    unannounced: bool = Field(sa_column_kwargs={"server_default": false()})


class Addition(BatchTable, table=True):
    """Jobs that were added to a batch by one call.

    A row without a batch says that the addition was given up: JobService has been told that it is
    not known, has dropped its jobs, and it can no longer be committed.
    """

    __tablename__ = "addition"
    __table_args__ = (
        # The addition of no jobs that an open batch may start with has the order of the next one.
        UniqueConstraint(
            "batch_id", "first_order", "jobs_count", name="uq_addition_batch_id_first_order"
        ),
        CheckConstraint(
            "(batch_id IS NULL) = (intent_version IS NULL)"
            " AND (batch_id IS NULL) = (first_order IS NULL)"
            " AND (batch_id IS NULL) = (jobs_count IS NULL)",
            name="ck_addition_given_up",
        ),
        {"sqlite_autoincrement": True},
    )

    seq: int = Field(sa_column=counted_key())
    id: str = Field(unique=True)
    batch_id: str | None = Field(sa_column_args=(ForeignKey("batch.id"),))
    intent_version: int | None = Field(sa_type=BigInteger)  #: the first intent that releases it
    first_order: int | None  #: creation order of its first job
    jobs_count: int | None
    created_at: int = Field(sa_type=BigInteger)


class BatchTag(BatchTable, table=True):
    """A label of a batch, to find it by."""

    __tablename__ = "batch_tag"
    __table_args__ = (
        UniqueConstraint("tag", "batch_seq", name="uq_batch_tag_tag_batch_seq"),
        {"sqlite_autoincrement": True},
    )

    seq: int = Field(sa_column=counted_key())
    batch_seq: int = Field(sa_column_args=(ForeignKey("batch.seq"),), sa_type=BigInteger)
    tag: str


class DevicePause(BatchTable, table=True):
    """That an operator holds a device back."""

    __tablename__ = "device_pause"
    __table_args__ = ({"sqlite_autoincrement": True},)

    seq: int = Field(sa_column=counted_key())
    device_type: str = Field(unique=True)
    user_id: str  #: the operator
    created_at: int = Field(sa_type=BigInteger)


PROGRAM: Final[Table] = BatchTable.metadata.tables["program"]
BATCH: Final[Table] = BatchTable.metadata.tables["batch"]
ADDITION: Final[Table] = BatchTable.metadata.tables["addition"]
BATCH_TAG: Final[Table] = BatchTable.metadata.tables["batch_tag"]
JOB_PROGRAM: Final[Table] = BatchTable.metadata.tables["job_program"]
DEVICE_PAUSE: Final[Table] = BatchTable.metadata.tables["device_pause"]


def unacknowledged() -> ColumnElement[bool]:
    """Returns the condition of the index of what JobService must still be told."""
    return BATCH.c.acknowledged_version < BATCH.c.intent_version


def idle() -> ColumnElement[bool]:
    """Returns the condition of the index of open batches that may time out."""
    return BATCH.c.idle_since.is_not(None)


# Lists: every one is limited to projects, and served by age unless asked otherwise. The columns
# after the age answer the filters that have no index of their own from the index alone; they
# hardly ever change.
Index(
    "ix_batch_project_created",
    BATCH.c.project_id,
    BATCH.c.created_at,
    BATCH.c.seq,
    BATCH.c.device_type,
    BATCH.c.queue_priority,
    BATCH.c.jobs_count,
    BATCH.c.open,
)
Index(
    "ix_batch_project_status_created",
    BATCH.c.project_id,
    BATCH.c.status,
    BATCH.c.created_at,
    BATCH.c.seq,
)
Index(
    "ix_batch_project_user_created",
    BATCH.c.project_id,
    BATCH.c.user_id,
    BATCH.c.created_at,
    BATCH.c.seq,
)
Index("ix_batch_project_start", BATCH.c.project_id, BATCH.c.start_at, BATCH.c.seq)
#: Also finds the batches that are old enough to be deleted.
Index("ix_batch_project_end", BATCH.c.project_id, BATCH.c.end_at, BATCH.c.seq)
#: Waiting times of a device.
Index("ix_batch_device_start", BATCH.c.device_type, BATCH.c.start_at)
Index(
    "ix_batch_unacknowledged",
    BATCH.c.seq,
    sqlite_where=unacknowledged(),
    postgresql_where=unacknowledged(),
)
Index(
    "ix_batch_idle",
    BATCH.c.idle_since,
    sqlite_where=idle(),
    postgresql_where=idle(),
)
Index(
    "ix_batch_unannounced",
    BATCH.c.seq,
    sqlite_where=BATCH.c.unannounced == literal_column("1"),  # as the statements ask for it
    postgresql_where=BATCH.c.unannounced,
)

# What is deleted must not be needed by anything, and what points to it must be found.
Index("ix_batch_program", BATCH.c.program_hash)
Index("ix_batch_tag_batch", BATCH_TAG.c.batch_seq)
Index("ix_job_program_program", JOB_PROGRAM.c.program_hash)
Index(
    "ix_program_tracked",
    PROGRAM.c.hash,
    sqlite_where=PROGRAM.c.tracked,
    postgresql_where=PROGRAM.c.tracked,
)
