"""Names of calls, loads of projects, and the indexes that lists and clean-up need."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_INDEXES = {
    "ix_batch_project_start": ("batch", ["project_id", "start_at", "seq"]),
    "ix_batch_project_end": ("batch", ["project_id", "end_at", "seq"]),
    "ix_batch_program": ("batch", ["program_hash"]),
    "ix_batch_tag_batch": ("batch_tag", ["batch_seq"]),
}

_BY_AGE = ["project_id", "created_at", "seq"]

# An addition of no jobs, with which an open batch starts, takes in none but is a sign of life.
_FILL_PROJECT_LOAD = """
    INSERT INTO project_load (project_id, batches, unfinished_jobs, last_activity_at)
    SELECT project_id, count(*), sum(jobs_count - done - error - canceled),
           max((SELECT max(addition.created_at) FROM addition WHERE addition.batch_id = batch.id))
    FROM batch GROUP BY project_id
"""


def upgrade() -> None:
    """Creates the tables and the indexes, and counts what is there."""
    _create_request()
    _create_project_load()
    _create_job_program()
    # Of the sequences that are there it is not known which jobs have them.
    op.add_column(
        "program", sa.Column("tracked", sa.Boolean, nullable=False, server_default=sa.false())
    )
    op.create_index(
        "ix_program_tracked",
        "program",
        ["hash"],
        sqlite_where=sa.text("tracked = 1"),  # as the statements ask for it
        postgresql_where=sa.text("tracked"),
    )
    op.drop_index("ix_batch_project_created", "batch")
    answered = ["device_type", "queue_priority", "jobs_count", "open"]
    op.create_index("ix_batch_project_created", "batch", [*_BY_AGE, *answered])
    for name, (table, columns) in _INDEXES.items():
        op.create_index(name, table, columns)


def downgrade() -> None:
    """Drops them."""
    for name, (table, _) in _INDEXES.items():
        op.drop_index(name, table)
    op.drop_index("ix_batch_project_created", "batch")
    op.create_index("ix_batch_project_created", "batch", _BY_AGE)
    op.drop_index("ix_program_tracked", "program")
    op.drop_column("program", "tracked")
    for table in ("job_program", "project_load", "request"):
        op.drop_table(table)


def _key() -> sa.Column[int]:
    counted = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    return sa.Column("seq", counted, primary_key=True, autoincrement=True)


def _create_request() -> None:
    op.create_table(
        "request",
        _key(),
        sa.Column("user_id", sa.String, nullable=False),
        sa.Column("request_id", sa.String, nullable=False),
        sa.Column("digest", sa.String, nullable=False),
        sa.Column("batch_id", sa.String, nullable=False),
        sa.Column("addition_id", sa.String, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("user_id", "request_id", name="uq_request_user_id_request_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_request_expires", "request", ["expires_at"])


def _create_project_load() -> None:
    op.create_table(
        "project_load",
        _key(),
        sa.Column("project_id", sa.String, nullable=False, unique=True),
        sa.Column("batches", sa.BigInteger, nullable=False),
        sa.Column("unfinished_jobs", sa.BigInteger, nullable=False),
        sa.Column("last_activity_at", sa.BigInteger, nullable=False),
        sqlite_autoincrement=True,
    )
    op.execute(_FILL_PROJECT_LOAD)


def _create_job_program() -> None:
    op.create_table(
        "job_program",
        _key(),
        sa.Column("batch_seq", sa.BigInteger, sa.ForeignKey("batch.seq"), nullable=False),
        sa.Column("program_hash", sa.String, nullable=False),
        sa.UniqueConstraint(
            "batch_seq", "program_hash", name="uq_job_program_batch_seq_program_hash"
        ),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_job_program_program", "job_program", ["program_hash"])
