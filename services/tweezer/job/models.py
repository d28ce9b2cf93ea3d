"""Tables of the job service.

The classes say what the tables are; every statement is SQLAlchemy Core on the tables themselves.
CHECK constraints repeat what the life cycle promises, so that the database refuses nonsense.
"""

from collections.abc import Iterable
from typing import Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ColumnElement,
    ForeignKey,
    Index,
    SmallInteger,
    Table,
    UniqueConstraint,
    false,
    literal_column,
    not_,
)
from sqlmodel import Field

from tweezer.job.base import JobTable, counted_key
from tweezer.job.bookkeeping import PROJECT_STORAGE
from tweezer.job.conditions import (
    has_unfinished,
    keeps_result,
    leasable,
    leasable_exclusively,
    occupies,
    reserves,
    unacknowledged,
)
from tweezer.lifecycle import FINAL_JOB_STATUSES, JobStatus
from tweezer.webhooks.models import Delivery, delivery_rules, index_deliveries

__all__ = ["PROJECT_STORAGE", "JobTable"]  # beside what is defined here

#: Channels through which jobs come in, as the contract spells them.
ORIGINS: Final = ("CLIENT", "AZURE", "OVH", "UNKNOWN")

#: Statuses in which a worker holds the job.
LEASED_JOB_STATUSES: Final = frozenset({JobStatus.RUNNING, JobStatus.CANCELING})


def _one_of(column: str, values: Iterable[str]) -> str:
    # Not IN: SQLite builds a table for its list at every row, which doubles the time of an insert.
    return "(" + " OR ".join(f"{column} = '{value}'" for value in sorted(values)) + ")"


class QueuedBatch(JobTable, table=True):
    """What is known here of a batch: what its jobs share, what should happen to it, its progress.

    The counts cover every job stored, held ones included (those are PENDING). They change in the
    transaction that changes the jobs. `progress_version` rises when a job changes its status, and
    only then: storing, releasing and dropping held jobs is no progress. Hence a batch is not
    reported before one of its additions was released, that is, before BatchService knows it.
    """

    __tablename__ = "queued_batch"
    __table_args__ = (
        CheckConstraint("queue_rank BETWEEN 1 AND 5", name="ck_queued_batch_queue_rank"),
        CheckConstraint(_one_of("origin", ORIGINS), name="ck_queued_batch_origin"),
        CheckConstraint(
            "pending >= 0 AND running >= 0 AND canceling >= 0"
            " AND done >= 0 AND error >= 0 AND canceled >= 0",
            name="ck_queued_batch_counts",
        ),
        CheckConstraint(
            "acknowledged_version <= progress_version", name="ck_queued_batch_acknowledged"
        ),
        {"sqlite_autoincrement": True},
    )

    seq: int = Field(sa_column=counted_key())
    id: str = Field(unique=True)
    project_id: str
    user_id: str
    device_type: str
    queue_rank: int = Field(sa_type=SmallInteger)  #: 1 is served first
    origin: str
    program_hash: str | None
    backend_configuration: str | None
    configuration_json: str | None
    exclusive: bool  #: the device runs one batch at a time, its jobs in creation order
    webhook: str | None  #: URL that is told when a job is final

    intent_version: int = Field(sa_type=BigInteger)
    cancelled: bool
    paused: bool
    open: bool  #: jobs can still be added

    pending: int
    running: int
    canceling: int
    done: int
    error: int
    canceled: int
    start_at: int | None = Field(sa_type=BigInteger)  #: when the first job started
    end_at: int | None = Field(sa_type=BigInteger)  #: when the last job to end so far ended
    progress_version: int = Field(sa_type=BigInteger)
    acknowledged_version: int = Field(sa_type=BigInteger)  #: newest that BatchService has


class QueuedAddition(JobTable, table=True):
    """Jobs that were added to a batch by one call; held until an intent releases them."""

    __tablename__ = "queued_addition"
    __table_args__ = ({"sqlite_autoincrement": True},)

    seq: int = Field(sa_column=counted_key())
    id: str = Field(unique=True)
    batch_id: str = Field(sa_column_args=(ForeignKey("queued_batch.id"),), index=True)
    first_order: int  #: creation order of the first job; the others follow without gaps
    jobs_count: int
    released: bool
    check_at: int = Field(sa_type=BigInteger)  #: when to ask whether it was committed, while held


class PausedDevice(JobTable, table=True):
    """A device whose jobs are held back."""

    __tablename__ = "paused_device"
    __table_args__ = ({"sqlite_autoincrement": True},)

    seq: int = Field(sa_column=counted_key())
    device_type: str = Field(unique=True)


class Job(JobTable, table=True):
    """A job, from the moment it is stored.

    `ready` says that it could be leased if it were PENDING: released, and its batch not paused. It
    is kept while the job runs, so that a job that comes back waits or not without further ado.
    """

    __tablename__ = "job"
    __table_args__ = (
        UniqueConstraint("batch_id", "creation_order", name="uq_job_batch_id_creation_order"),
        CheckConstraint(_one_of("status", JobStatus), name="ck_job_status"),
        CheckConstraint(_one_of("origin", ORIGINS), name="ck_job_origin"),
        CheckConstraint(
            f"(end_at IS NOT NULL) = {_one_of('status', FINAL_JOB_STATUSES)}",
            name="ck_job_end_when_final",
        ),
        CheckConstraint(
            f"(lease_token IS NOT NULL) = {_one_of('status', LEASED_JOB_STATUSES)}",
            name="ck_job_token_when_leased",
        ),
        CheckConstraint(
            f"(lease_expires_at IS NOT NULL) = {_one_of('status', LEASED_JOB_STATUSES)}",
            name="ck_job_expiry_when_leased",
        ),
        CheckConstraint(
            "status = 'CANCELED' OR (start_at IS NULL) = (status = 'PENDING')",
            name="ck_job_start_when_started",
        ),
        CheckConstraint(
            "(result_key IS NOT NULL) = (status = 'DONE')", name="ck_job_result_when_done"
        ),
        CheckConstraint("(errors IS NOT NULL) = (status = 'ERROR')", name="ck_job_errors"),
        CheckConstraint("progress BETWEEN 0 AND 100", name="ck_job_progress"),
        CheckConstraint("attempt >= 0", name="ck_job_attempt"),
        CheckConstraint(
            "released OR (status = 'PENDING' AND NOT ready)", name="ck_job_held_is_pending"
        ),
        {"sqlite_autoincrement": True},
    )

    seq: int = Field(sa_column=counted_key())
    id: str = Field(unique=True)
    batch_id: str = Field(sa_column_args=(ForeignKey("queued_batch.id"),))
    creation_order: int
    parent_id: str | None
    # Of the batch, repeated here because lists and leases choose by them.
    project_id: str
    user_id: str
    device_type: str
    queue_rank: int = Field(sa_type=SmallInteger)
    origin: str
    exclusive: bool
    has_webhook: bool = Field(sa_column_kwargs={"server_default": false()})

    runs: int | None
    variables_json: str | None
    program_hash: str | None  #: of the job's own sequence

    status: str
    released: bool
    ready: bool
    attempt: int  #: leases so far, without those that were given back
    progress: int
    errors: str | None  #: JSON list of sentences
    result_key: str | None  #: where the result is in the result store
    #: Its size; unknown of results that are older than the column, until the sweep has seen them.
    result_bytes: int | None = Field(sa_type=BigInteger)
    slurm_job_id: str | None
    slurm_cluster_name: str | None

    lease_token: str | None
    lease_expires_at: int | None = Field(sa_type=BigInteger)
    ended_token: str | None  #: token whose holder last ended a lease, to know a repetition
    ended_outcome: str | None  #: with which outcome

    created_at: int = Field(sa_type=BigInteger)
    updated_at: int = Field(sa_type=BigInteger)
    start_at: int | None = Field(sa_type=BigInteger)
    end_at: int | None = Field(sa_type=BigInteger)
    result_removed_at: int | None = Field(sa_type=BigInteger)  #: since when it is no longer stored
    #: Final, and the webhook of its batch has not been told.
    unannounced: bool = Field(sa_column_kwargs={"server_default": false()})


class WebhookDelivery(Delivery, JobTable, table=True):
    """A message about a job to a web server of its user."""

    __tablename__ = "webhook_delivery"
    __table_args__ = delivery_rules()

    seq: int = Field(sa_column=counted_key())


QUEUED_BATCH: Final[Table] = JobTable.metadata.tables["queued_batch"]
QUEUED_ADDITION: Final[Table] = JobTable.metadata.tables["queued_addition"]
PAUSED_DEVICE: Final[Table] = JobTable.metadata.tables["paused_device"]
JOB: Final[Table] = JobTable.metadata.tables["job"]
WEBHOOK_DELIVERY: Final[Table] = JobTable.metadata.tables["webhook_delivery"]


def _partial(
    name: str, where: ColumnElement[bool], *columns: Column[object], unique: bool = False
) -> Index:
    return Index(name, *columns, unique=unique, sqlite_where=where, postgresql_where=where)


#: Next in line for a device, without a look at the jobs that are finished.
_partial("ix_job_lease_order", leasable(JOB), JOB.c.device_type, JOB.c.queue_rank, JOB.c.seq)
#: The same for an exclusive device; and which job of the batch that has the device is next.
_exclusive = leasable_exclusively(JOB)
_partial("ix_job_exclusive_order", _exclusive, JOB.c.device_type, JOB.c.queue_rank, JOB.c.seq)
_partial("ix_job_exclusive_batch", _exclusive, JOB.c.batch_id, JOB.c.creation_order)
#: Whatever goes wrong, the database lets no two workers have an exclusive device.
_partial("uq_job_exclusive_leased", occupies(JOB), JOB.c.device_type, unique=True)
_partial(
    "ix_queued_batch_reserving",
    reserves(QUEUED_BATCH),
    QUEUED_BATCH.c.device_type,
    QUEUED_BATCH.c.start_at,
    QUEUED_BATCH.c.seq,
)
#: The lease that ends first.
_partial("ix_job_lease_expiry", JOB.c.lease_expires_at.is_not(None), JOB.c.lease_expires_at)
# Lists: every one is limited to projects.
Index("ix_job_project_created", JOB.c.project_id, JOB.c.created_at, JOB.c.seq)
Index("ix_job_project_user_created", JOB.c.project_id, JOB.c.user_id, JOB.c.created_at, JOB.c.seq)
Index("ix_job_project_status_created", JOB.c.project_id, JOB.c.status, JOB.c.created_at, JOB.c.seq)
_partial("ix_queued_batch_unacknowledged", unacknowledged(QUEUED_BATCH), QUEUED_BATCH.c.seq)
#: How much is waiting or running altogether, read from the index alone.
_partial(
    "ix_queued_batch_unfinished",
    has_unfinished(QUEUED_BATCH),
    QUEUED_BATCH.c.pending,
    QUEUED_BATCH.c.running,
    QUEUED_BATCH.c.canceling,
)
#: Results, oldest first.
_partial("ix_job_result_age", keeps_result(JOB), JOB.c.end_at, JOB.c.seq)
_partial("ix_queued_addition_held", not_(QUEUED_ADDITION.c.released), QUEUED_ADDITION.c.check_at)
Index(
    "ix_job_unannounced",
    JOB.c.seq,
    sqlite_where=JOB.c.unannounced == literal_column("1"),  # as the statements ask for it
    postgresql_where=JOB.c.unannounced,
)
index_deliveries(WEBHOOK_DELIVERY)
