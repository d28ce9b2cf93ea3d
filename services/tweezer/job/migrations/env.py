"""Alembic's environment: runs the migrations on the connection that `upgrade` opened."""

from alembic import context

from tweezer.database.alembic_run import connection_of, version_table_of
from tweezer.job.models import JobTable

context.configure(
    connection=connection_of(context.config),
    target_metadata=JobTable.metadata,
    version_table=version_table_of(context.config),
)
with context.begin_transaction():
    context.run_migrations()
