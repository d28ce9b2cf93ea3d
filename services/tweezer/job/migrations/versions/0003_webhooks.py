"""Messages to web servers of users."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Creates the table and what says which jobs are not announced.

    Nothing is told of jobs that are there already: it was not kept where.
    """
    op.add_column("queued_batch", sa.Column("webhook", sa.String))
    for name in ("has_webhook", "unannounced"):
        op.add_column("job", sa.Column(name, sa.Boolean, nullable=False, server_default=sa.false()))
    op.create_index(
        "ix_job_unannounced",
        "job",
        ["seq"],
        sqlite_where=sa.text("unannounced = 1"),  # as the statements ask for it
        postgresql_where=sa.text("unannounced"),
    )
    _create_webhook_delivery()


def downgrade() -> None:
    """Drops them."""
    op.drop_table("webhook_delivery")
    op.drop_index("ix_job_unannounced", "job")
    for table, name in (
        ("job", "unannounced"),
        ("job", "has_webhook"),
        ("queued_batch", "webhook"),
    ):
        op.drop_column(table, name)


def _create_webhook_delivery() -> None:
    counted = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "webhook_delivery",
        sa.Column("seq", counted, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String, nullable=False, unique=True),
        sa.Column("event", sa.String, nullable=False),
        sa.Column("project_id", sa.String, nullable=False),
        sa.Column("batch_id", sa.String, nullable=False),
        sa.Column("url", sa.String, nullable=False),
        sa.Column("target", sa.String, nullable=False),
        sa.Column("body", sa.String, nullable=False),
        sa.Column("status", sa.String, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("next_attempt_at", sa.BigInteger),
        sa.Column("error", sa.String),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("ended_at", sa.BigInteger),
        sa.CheckConstraint(
            "(next_attempt_at IS NOT NULL) = (status = 'WAITING')"
            " AND (ended_at IS NULL) = (status = 'WAITING')"
            " AND (status = 'WAITING' OR status = 'DELIVERED' OR status = 'FAILED')",
            name="ck_webhook_delivery_status",
        ),
        sqlite_autoincrement=True,
    )
    waiting, ended = sa.text("next_attempt_at IS NOT NULL"), sa.text("ended_at IS NOT NULL")
    op.create_index(
        "ix_webhook_delivery_due",
        "webhook_delivery",
        ["target", "next_attempt_at"],
        sqlite_where=waiting,
        postgresql_where=waiting,
    )
    op.create_index(
        "ix_webhook_delivery_ended",
        "webhook_delivery",
        ["status", "ended_at"],
        sqlite_where=ended,
        postgresql_where=ended,
    )
