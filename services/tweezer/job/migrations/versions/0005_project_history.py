"""How often the history of each project was rewritten."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Creates the table; a project without a row has had no rewrite."""
    counted = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "project_history",
        sa.Column("seq", counted, primary_key=True, autoincrement=True),
        sa.Column("project_id", sa.String, nullable=False, unique=True),
        sa.Column("rewrites", sa.BigInteger, nullable=False),
        sqlite_autoincrement=True,
    )


def downgrade() -> None:
    """Drops it."""
    op.drop_table("project_history")
