"""Log-ins that failed, so that replicas slow down guessing together."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Creates the table."""
    counted = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "failed_login",
        sa.Column("seq", counted, primary_key=True, autoincrement=True),
        sa.Column("key", sa.String, nullable=False, unique=True),
        sa.Column("forgotten_at", sa.BigInteger, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_failed_login_forgotten_at", "failed_login", ["forgotten_at"])


def downgrade() -> None:
    """Drops it."""
    op.drop_table("failed_login")
