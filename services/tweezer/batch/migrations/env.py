"""Runs the migrations on the connection that the service passes; Alembic executes this file."""

from alembic import context

from tweezer.batch.models import BatchTable
from tweezer.database.alembic_run import connection_of, version_table_of

context.configure(
    connection=connection_of(context.config),
    target_metadata=BatchTable.metadata,
    version_table=version_table_of(context.config),
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
