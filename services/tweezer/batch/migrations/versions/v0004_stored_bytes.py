"""How much the sequences of each project take."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_SIZE = {
    "sqlite": "length(CAST(sequence AS BLOB))",
    "postgresql": "octet_length(sequence)",
}

# Each counts for the project of the first batch that has it. What never is deleted, because it is
# not known who uses it, counts for none.
_FILL_PROGRAM = """
    UPDATE program SET size = {size}, project_id = coalesce(
        (SELECT batch.project_id FROM batch
         WHERE batch.program_hash = program.hash ORDER BY batch.seq LIMIT 1),
        (SELECT batch.project_id FROM job_program JOIN batch ON batch.seq = job_program.batch_seq
         WHERE job_program.program_hash = program.hash ORDER BY batch.seq LIMIT 1)
    ) WHERE tracked
"""

_FILL_PROJECT_LOAD = """
    UPDATE project_load SET sequence_bytes = coalesce(
        (SELECT sum(program.size) FROM program
         WHERE program.project_id = project_load.project_id), 0)
"""


def upgrade() -> None:
    """Creates the columns, and adds up what is there."""
    op.add_column("program", sa.Column("size", sa.BigInteger))
    op.add_column("program", sa.Column("project_id", sa.String))
    op.add_column(
        "project_load",
        sa.Column("sequence_bytes", sa.BigInteger, nullable=False, server_default="0"),
    )
    op.execute(_FILL_PROGRAM.format(size=_SIZE[op.get_bind().dialect.name]))
    op.execute(_FILL_PROJECT_LOAD)


def downgrade() -> None:
    """Drops them."""
    op.drop_column("project_load", "sequence_bytes")
    for name in ("project_id", "size"):
        op.drop_column("program", name)
