"""How much the results of each project take."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Creates the column and the table.

    How large the results are that are there already, only the result store knows: the sweep asks.
    """
    op.add_column("job", sa.Column("result_bytes", sa.BigInteger))
    counted = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "project_storage",
        sa.Column("seq", counted, primary_key=True, autoincrement=True),
        sa.Column("project_id", sa.String, nullable=False, unique=True),
        sa.Column("result_bytes", sa.BigInteger, nullable=False),
        sqlite_autoincrement=True,
    )


def downgrade() -> None:
    """Drops them."""
    op.drop_table("project_storage")
    op.drop_column("job", "result_bytes")
