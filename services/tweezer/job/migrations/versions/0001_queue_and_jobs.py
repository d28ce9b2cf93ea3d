"""Makes the tables of the queue and of the jobs."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_ORIGINS = "(origin = 'AZURE' OR origin = 'CLIENT' OR origin = 'OVH' OR origin = 'UNKNOWN')"
_STATUSES = (
    "(status = 'CANCELED' OR status = 'CANCELING' OR status = 'DONE' OR status = 'ERROR'"
    " OR status = 'PENDING' OR status = 'RUNNING')"
)
_FINAL = "(status = 'CANCELED' OR status = 'DONE' OR status = 'ERROR')"
_LEASED = "(status = 'CANCELING' OR status = 'RUNNING')"


def upgrade() -> None:
    """Makes the change."""
    _queued_batch()
    _queued_addition()
    _paused_device()
    _job()


def downgrade() -> None:
    """Takes it back."""
    for table in ("job", "paused_device", "queued_addition", "queued_batch"):
        op.drop_table(table)


def _sequence() -> sa.Column[int]:
    counted = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    return sa.Column("seq", counted, primary_key=True, autoincrement=True)


def _queued_batch() -> None:
    op.create_table(
        "queued_batch",
        _sequence(),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("device_type", sa.String(), nullable=False),
        sa.Column("queue_rank", sa.SmallInteger(), nullable=False),
        sa.Column("origin", sa.String(), nullable=False),
        sa.Column("program_hash", sa.String()),
        sa.Column("backend_configuration", sa.String()),
        sa.Column("configuration_json", sa.String()),
        sa.Column("exclusive", sa.Boolean(), nullable=False),
        sa.Column("intent_version", sa.BigInteger(), nullable=False),
        sa.Column("cancelled", sa.Boolean(), nullable=False),
        sa.Column("paused", sa.Boolean(), nullable=False),
        sa.Column("open", sa.Boolean(), nullable=False),
        sa.Column("pending", sa.Integer(), nullable=False),
        sa.Column("running", sa.Integer(), nullable=False),
        sa.Column("canceling", sa.Integer(), nullable=False),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("error", sa.Integer(), nullable=False),
        sa.Column("canceled", sa.Integer(), nullable=False),
        sa.Column("start_at", sa.BigInteger()),
        sa.Column("end_at", sa.BigInteger()),
        sa.Column("progress_version", sa.BigInteger(), nullable=False),
        sa.Column("acknowledged_version", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("queue_rank BETWEEN 1 AND 5", name="ck_queued_batch_queue_rank"),
        sa.CheckConstraint(_ORIGINS, name="ck_queued_batch_origin"),
        sa.CheckConstraint(
            "pending >= 0 AND running >= 0 AND canceling >= 0"
            " AND done >= 0 AND error >= 0 AND canceled >= 0",
            name="ck_queued_batch_counts",
        ),
        sa.CheckConstraint(
            "acknowledged_version <= progress_version", name="ck_queued_batch_acknowledged"
        ),
        sa.UniqueConstraint("id"),
        sqlite_autoincrement=True,
    )
    unacknowledged = sa.text("progress_version > acknowledged_version")
    op.create_index(
        "ix_queued_batch_unacknowledged",
        "queued_batch",
        ["seq"],
        sqlite_where=unacknowledged,
        postgresql_where=unacknowledged,
    )
    unfinished = "pending + running + canceling > 0"
    op.create_index(
        "ix_queued_batch_reserving",
        "queued_batch",
        ["device_type", "start_at", "seq"],
        sqlite_where=sa.text(
            '"exclusive" = 1 AND start_at IS NOT NULL'
            f" AND ({unfinished} OR open = 1 AND cancelled = 0)"
        ),
        postgresql_where=sa.text(
            f"exclusive AND start_at IS NOT NULL AND ({unfinished} OR open AND NOT cancelled)"
        ),
    )


def _queued_addition() -> None:
    op.create_table(
        "queued_addition",
        _sequence(),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("batch_id", sa.String(), sa.ForeignKey("queued_batch.id"), nullable=False),
        sa.Column("first_order", sa.Integer(), nullable=False),
        sa.Column("jobs_count", sa.Integer(), nullable=False),
        sa.Column("released", sa.Boolean(), nullable=False),
        sa.Column("check_at", sa.BigInteger(), nullable=False),
        sa.UniqueConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_queued_addition_batch_id", "queued_addition", ["batch_id"])
    op.create_index(
        "ix_queued_addition_held",
        "queued_addition",
        ["check_at"],
        sqlite_where=sa.text("released = 0"),
        postgresql_where=sa.text("NOT released"),
    )


def _paused_device() -> None:
    op.create_table(
        "paused_device",
        _sequence(),
        sa.Column("device_type", sa.String(), nullable=False),
        sa.UniqueConstraint("device_type"),
        sqlite_autoincrement=True,
    )


def _job() -> None:
    op.create_table(
        "job",
        _sequence(),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("batch_id", sa.String(), sa.ForeignKey("queued_batch.id"), nullable=False),
        sa.Column("creation_order", sa.Integer(), nullable=False),
        sa.Column("parent_id", sa.String()),
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("device_type", sa.String(), nullable=False),
        sa.Column("queue_rank", sa.SmallInteger(), nullable=False),
        sa.Column("origin", sa.String(), nullable=False),
        sa.Column("exclusive", sa.Boolean(), nullable=False),
        sa.Column("runs", sa.Integer()),
        sa.Column("variables_json", sa.String()),
        sa.Column("program_hash", sa.String()),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("released", sa.Boolean(), nullable=False),
        sa.Column("ready", sa.Boolean(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("progress", sa.Integer(), nullable=False),
        sa.Column("errors", sa.String()),
        sa.Column("result_key", sa.String()),
        sa.Column("slurm_job_id", sa.String()),
        sa.Column("slurm_cluster_name", sa.String()),
        sa.Column("lease_token", sa.String()),
        sa.Column("lease_expires_at", sa.BigInteger()),
        sa.Column("ended_token", sa.String()),
        sa.Column("ended_outcome", sa.String()),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("start_at", sa.BigInteger()),
        sa.Column("end_at", sa.BigInteger()),
        sa.UniqueConstraint("batch_id", "creation_order", name="uq_job_batch_id_creation_order"),
        sa.CheckConstraint(_STATUSES, name="ck_job_status"),
        sa.CheckConstraint(_ORIGINS, name="ck_job_origin"),
        sa.CheckConstraint(f"(end_at IS NOT NULL) = {_FINAL}", name="ck_job_end_when_final"),
        sa.CheckConstraint(
            f"(lease_token IS NOT NULL) = {_LEASED}", name="ck_job_token_when_leased"
        ),
        sa.CheckConstraint(
            f"(lease_expires_at IS NOT NULL) = {_LEASED}", name="ck_job_expiry_when_leased"
        ),
        sa.CheckConstraint(
            "status = 'CANCELED' OR (start_at IS NULL) = (status = 'PENDING')",
            name="ck_job_start_when_started",
        ),
        sa.CheckConstraint(
            "(result_key IS NOT NULL) = (status = 'DONE')", name="ck_job_result_when_done"
        ),
        sa.CheckConstraint("(errors IS NOT NULL) = (status = 'ERROR')", name="ck_job_errors"),
        sa.CheckConstraint("progress BETWEEN 0 AND 100", name="ck_job_progress"),
        sa.CheckConstraint("attempt >= 0", name="ck_job_attempt"),
        sa.CheckConstraint(
            "released OR (status = 'PENDING' AND NOT ready)", name="ck_job_held_is_pending"
        ),
        sa.UniqueConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_job_lease_order",
        "job",
        ["device_type", "queue_rank", "seq"],
        sqlite_where=sa.text("status = 'PENDING' AND ready = 1 AND \"exclusive\" = 0"),
        postgresql_where=sa.text("status = 'PENDING' AND ready AND NOT exclusive"),
    )
    for name, columns in (
        ("ix_job_exclusive_order", ["device_type", "queue_rank", "seq"]),
        ("ix_job_exclusive_batch", ["batch_id", "creation_order"]),
    ):
        op.create_index(
            name,
            "job",
            columns,
            sqlite_where=sa.text("status = 'PENDING' AND ready = 1 AND \"exclusive\" = 1"),
            postgresql_where=sa.text("status = 'PENDING' AND ready AND exclusive"),
        )
    op.create_index(
        "uq_job_exclusive_leased",
        "job",
        ["device_type"],
        unique=True,
        sqlite_where=sa.text('lease_token IS NOT NULL AND "exclusive" = 1'),
        postgresql_where=sa.text("lease_token IS NOT NULL AND exclusive"),
    )
    leased = sa.text("lease_expires_at IS NOT NULL")
    op.create_index(
        "ix_job_lease_expiry",
        "job",
        ["lease_expires_at"],
        sqlite_where=leased,
        postgresql_where=leased,
    )
    for name, columns in (
        ("ix_job_project_created", ["project_id", "created_at", "seq"]),
        ("ix_job_project_user_created", ["project_id", "user_id", "created_at", "seq"]),
        ("ix_job_project_status_created", ["project_id", "status", "created_at", "seq"]),
    ):
        op.create_index(name, "job", columns)
