"""Users, projects and memberships."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Creates the tables."""
    counted = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "user",
        sa.Column("seq", counted, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String, nullable=False, unique=True),
        sa.Column("username", sa.String, nullable=False, unique=True),
        sa.Column("password_hash", sa.String, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "project",
        sa.Column("seq", counted, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String, nullable=False, unique=True),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("queue_priority", sa.String, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.CheckConstraint(
            "queue_priority IN ('CRITICAL', 'HIGH', 'MEDIUM', 'LOW', 'FREE')",
            name="ck_project_queue_priority",
        ),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "membership",
        sa.Column("seq", counted, primary_key=True, autoincrement=True),
        sa.Column("user_id", sa.String, sa.ForeignKey("user.id"), nullable=False),
        sa.Column("project_id", sa.String, sa.ForeignKey("project.id"), nullable=False),
        sa.Column("role", sa.String, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("user_id", "project_id", name="uq_membership_user_id_project_id"),
        sa.CheckConstraint("role IN ('member', 'operator')", name="ck_membership_role"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_membership_project_id", "membership", ["project_id"])


def downgrade() -> None:
    """Drops the tables."""
    for table in ("membership", "project", "user"):
        op.drop_table(table)
