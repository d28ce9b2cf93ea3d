"""Batches, their programs, additions and tags; devices held back."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Creates the tables."""
    _create_program()
    _create_batch()
    _create_addition()
    _create_batch_tag()
    _create_device_pause()


def downgrade() -> None:
    """Drops the tables."""
    for table in ("device_pause", "batch_tag", "addition", "batch", "program"):
        op.drop_table(table)


def _key() -> sa.Column[int]:
    counted = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    return sa.Column("seq", counted, primary_key=True, autoincrement=True)


def _create_program() -> None:
    op.create_table(
        "program",
        _key(),
        sa.Column("hash", sa.String, nullable=False, unique=True),
        sa.Column("sequence", sa.String, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sqlite_autoincrement=True,
    )


def _create_batch() -> None:
    op.create_table(
        "batch",
        _key(),
        sa.Column("id", sa.String, nullable=False, unique=True),
        sa.Column("parent_id", sa.String),
        sa.Column("project_id", sa.String, nullable=False),
        sa.Column("user_id", sa.String, nullable=False),
        sa.Column("device_type", sa.String, nullable=False),
        sa.Column("queue_priority", sa.String, nullable=False),
        sa.Column("origin", sa.String, nullable=False),
        sa.Column("program_hash", sa.String),
        sa.Column("backend_configuration", sa.String),
        sa.Column("configuration_json", sa.String),
        sa.Column("tags", sa.String, nullable=False),
        sa.Column("webhook", sa.String),
        sa.Column("open", sa.Boolean, nullable=False),
        sa.Column("cancelled", sa.Boolean, nullable=False),
        sa.Column("timed_out", sa.Boolean, nullable=False),
        sa.Column("paused", sa.Boolean, nullable=False),
        sa.Column("intent_version", sa.BigInteger, nullable=False),
        sa.Column("acknowledged_version", sa.BigInteger, nullable=False),
        sa.Column("next_order", sa.Integer, nullable=False),
        sa.Column("status", sa.String, nullable=False),
        sa.Column("jobs_count", sa.Integer, nullable=False),
        sa.Column("running", sa.Integer, nullable=False),
        sa.Column("canceling", sa.Integer, nullable=False),
        sa.Column("done", sa.Integer, nullable=False),
        sa.Column("error", sa.Integer, nullable=False),
        sa.Column("canceled", sa.Integer, nullable=False),
        sa.Column("progress_version", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("start_at", sa.BigInteger),
        sa.Column("end_at", sa.BigInteger),
        sa.Column("idle_since", sa.BigInteger),
        sa.CheckConstraint(
            "status IN ('CANCELED', 'CANCELING', 'DONE', 'ERROR', 'PAUSED', 'PENDING',"
            " 'RUNNING', 'TIMED_OUT')",
            name="ck_batch_status",
        ),
        sa.CheckConstraint(
            "queue_priority IN ('CRITICAL', 'FREE', 'HIGH', 'LOW', 'MEDIUM')",
            name="ck_batch_priority",
        ),
        sa.CheckConstraint(
            "origin IN ('AZURE', 'CLIENT', 'OVH', 'UNKNOWN')", name="ck_batch_origin"
        ),
        sa.CheckConstraint(
            "running >= 0 AND canceling >= 0 AND done >= 0 AND error >= 0 AND canceled >= 0"
            " AND running + canceling + done + error + canceled <= jobs_count",
            name="ck_batch_counts",
        ),
        sa.CheckConstraint(
            "(end_at IS NOT NULL) = (status IN ('CANCELED', 'DONE', 'ERROR', 'TIMED_OUT'))",
            name="ck_batch_end_when_final",
        ),
        sa.CheckConstraint("acknowledged_version <= intent_version", name="ck_batch_acknowledged"),
        sa.CheckConstraint("next_order >= jobs_count", name="ck_batch_next_order"),
        sa.CheckConstraint("idle_since IS NULL OR open", name="ck_batch_idle_when_open"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_batch_project_created", "batch", ["project_id", "created_at", "seq"])
    for column in ("status", "user_id"):
        op.create_index(
            f"ix_batch_project_{column.removesuffix('_id')}_created",
            "batch",
            ["project_id", column, "created_at", "seq"],
        )
    op.create_index("ix_batch_device_start", "batch", ["device_type", "start_at"])
    unacknowledged = sa.text("acknowledged_version < intent_version")
    op.create_index(
        "ix_batch_unacknowledged",
        "batch",
        ["seq"],
        sqlite_where=unacknowledged,
        postgresql_where=unacknowledged,
    )
    idle = sa.text("idle_since IS NOT NULL")
    op.create_index(
        "ix_batch_idle", "batch", ["idle_since"], sqlite_where=idle, postgresql_where=idle
    )


def _create_addition() -> None:
    op.create_table(
        "addition",
        _key(),
        sa.Column("id", sa.String, nullable=False, unique=True),
        sa.Column("batch_id", sa.String, sa.ForeignKey("batch.id")),
        sa.Column("intent_version", sa.BigInteger),
        sa.Column("first_order", sa.Integer),
        sa.Column("jobs_count", sa.Integer),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.UniqueConstraint(
            "batch_id", "first_order", "jobs_count", name="uq_addition_batch_id_first_order"
        ),
        sa.CheckConstraint(
            "(batch_id IS NULL) = (intent_version IS NULL)"
            " AND (batch_id IS NULL) = (first_order IS NULL)"
            " AND (batch_id IS NULL) = (jobs_count IS NULL)",
            name="ck_addition_given_up",
        ),
        sqlite_autoincrement=True,
    )


def _create_batch_tag() -> None:
    op.create_table(
        "batch_tag",
        _key(),
        sa.Column("batch_seq", sa.BigInteger, sa.ForeignKey("batch.seq"), nullable=False),
        sa.Column("tag", sa.String, nullable=False),
        sa.UniqueConstraint("tag", "batch_seq", name="uq_batch_tag_tag_batch_seq"),
        sqlite_autoincrement=True,
    )


def _create_device_pause() -> None:
    op.create_table(
        "device_pause",
        _key(),
        sa.Column("device_type", sa.String, nullable=False, unique=True),
        sa.Column("user_id", sa.String, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sqlite_autoincrement=True,
    )
