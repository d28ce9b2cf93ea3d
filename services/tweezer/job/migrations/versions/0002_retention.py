"""Lets results be removed after a while, and the work that waits be summed up quickly."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the change."""
    op.add_column("job", sa.Column("result_removed_at", sa.BigInteger()))
    stored = sa.text("result_key IS NOT NULL AND result_removed_at IS NULL")
    op.create_index(
        "ix_job_result_age",
        "job",
        ["end_at", "seq"],
        sqlite_where=stored,
        postgresql_where=stored,
    )
    unfinished = sa.text("pending + running + canceling > 0")
    op.create_index(
        "ix_queued_batch_unfinished",
        "queued_batch",
        ["pending", "running", "canceling"],
        sqlite_where=unfinished,
        postgresql_where=unfinished,
    )


def downgrade() -> None:
    """Takes it back."""
    op.drop_index("ix_queued_batch_unfinished", "queued_batch")
    op.drop_index("ix_job_result_age", "job")
    op.drop_column("job", "result_removed_at")
