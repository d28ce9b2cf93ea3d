"""Tables of the batch service.

The classes say what the tables are; every statement is SQLAlchemy Core on the tables themselves.
"""

from collections.abc import Iterable
from typing import ClassVar, Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ColumnElement,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    UniqueConstraint,
)
from sqlmodel import Field, SQLModel

from tweezer.lifecycle import FINAL_BATCH_STATUSES, BatchStatus

#: Queues, served in this order.
QUEUE_PRIORITIES: Final = ("CRITICAL", "HIGH", "MEDIUM", "LOW", "FREE")

#: Channels through which batches come in.
ORIGINS: Final = ("CLIENT", "AZURE", "OVH", "UNKNOWN")


def _sequence() -> Column[int]:
    """Returns a key that counts up and never repeats: it is also the age of a row."""
    counted = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts INTEGER columns only
    return Column("seq", counted, primary_key=True, autoincrement=True)


def _one_of(column: str, values: Iterable[str]) -> str:
    words = ", ".join(f"'{value}'" for value in sorted(values))
    return f"{column} IN ({words})"


class BatchTable(SQLModel):
    """Base of the tables, with metadata of its own: other services have theirs."""

    metadata: ClassVar[MetaData] = MetaData()


class Program(BatchTable, table=True):
    """The text of a sequence, once for each content."""

    __tablename__ = "program"
    __table_args__ = ({"sqlite_autoincrement": True},)

    seq: int = Field(sa_column=_sequence())
    hash: str = Field(unique=True)  #: SHA-256 of the text
    sequence: str
    created_at: int = Field(sa_type=BigInteger)


class Batch(BatchTable, table=True):
    """A batch: what was asked for, and how far it has come.

    The counts are those of JobService's newest report. There is no column for the pending jobs:
    they are what is left of `jobs_count`, so that jobs count from the moment they are added and a
    late report hides none.
    """

    __tablename__ = "batch"
    __table_args__ = (
        CheckConstraint(_one_of("status", BatchStatus), name="ck_batch_status"),
        CheckConstraint(_one_of("queue_priority", QUEUE_PRIORITIES), name="ck_batch_priority"),
        CheckConstraint(_one_of("origin", ORIGINS), name="ck_batch_origin"),
        CheckConstraint(
            "running >= 0 AND canceling >= 0 AND done >= 0 AND error >= 0 AND canceled >= 0"
            " AND running + canceling + done + error + canceled <= jobs_count",
            name="ck_batch_counts",
        ),
        CheckConstraint(
            f"(end_at IS NOT NULL) = ({_one_of('status', FINAL_BATCH_STATUSES)})",
            name="ck_batch_end_when_final",
        ),
        CheckConstraint("acknowledged_version <= intent_version", name="ck_batch_acknowledged"),
        CheckConstraint("next_order >= jobs_count", name="ck_batch_next_order"),
        CheckConstraint("idle_since IS NULL OR open", name="ck_batch_idle_when_open"),
        {"sqlite_autoincrement": True},
    )

    seq: int = Field(sa_column=_sequence())
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

    seq: int = Field(sa_column=_sequence())
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

    seq: int = Field(sa_column=_sequence())
    batch_seq: int = Field(sa_column_args=(ForeignKey("batch.seq"),), sa_type=BigInteger)
    tag: str


class DevicePause(BatchTable, table=True):
    """That an operator holds a device back."""

    __tablename__ = "device_pause"
    __table_args__ = ({"sqlite_autoincrement": True},)

    seq: int = Field(sa_column=_sequence())
    device_type: str = Field(unique=True)
    user_id: str  #: the operator
    created_at: int = Field(sa_type=BigInteger)


PROGRAM: Final[Table] = BatchTable.metadata.tables["program"]
BATCH: Final[Table] = BatchTable.metadata.tables["batch"]
ADDITION: Final[Table] = BatchTable.metadata.tables["addition"]
BATCH_TAG: Final[Table] = BatchTable.metadata.tables["batch_tag"]
DEVICE_PAUSE: Final[Table] = BatchTable.metadata.tables["device_pause"]


def unacknowledged() -> ColumnElement[bool]:
    """Returns the condition of the index of what JobService must still be told."""
    return BATCH.c.acknowledged_version < BATCH.c.intent_version


def idle() -> ColumnElement[bool]:
    """Returns the condition of the index of open batches that may time out."""
    return BATCH.c.idle_since.is_not(None)


# Lists: every one is limited to projects.
Index("ix_batch_project_created", BATCH.c.project_id, BATCH.c.created_at, BATCH.c.seq)
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
