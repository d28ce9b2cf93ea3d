"""A database of the first release with data, brought up to date."""

from alembic import command
from alembic.config import Config
from sqlalchemy import text

from tweezer.batch.service import MIGRATIONS, prepare
from tweezer.batch.settings import BatchSettings
from tweezer.batch.store import clean_up
from tweezer.database.sqlite import create_sqlite_engine

BATCH = """
    INSERT INTO batch (
        id, project_id, user_id, device_type, queue_priority, origin, tags, open, cancelled,
        timed_out, paused, intent_version, acknowledged_version, next_order, status, jobs_count,
        running, canceling, done, error, canceled, progress_version, created_at, updated_at, end_at
    ) VALUES (
        :id, :project, 'u', 'EMU_FREE', 'MEDIUM', 'CLIENT', '[]', 0, 0, 0, 0, 1, 1, 5, :status, 5,
        0, 0, :done, 0, 0, 1, 10, 10, :end_at
    )
"""
ADDITION = """
    INSERT INTO addition (id, batch_id, intent_version, first_order, jobs_count, created_at)
    VALUES (:id, :batch, 1, :first, 1, :at)
"""


def upgrade_to(engine, revision):
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def test_what_is_there_is_counted(tmp_path):
    settings = BatchSettings(data_dir=tmp_path)
    engine = create_sqlite_engine(settings.batch_database_file)
    upgrade_to(engine, "0001")
    with engine.begin() as connection:
        for batch in (
            {"id": "a", "project": "p", "status": "DONE", "done": 5, "end_at": 20},
            {"id": "b", "project": "p", "status": "RUNNING", "done": 2, "end_at": None},
            {"id": "c", "project": "q", "status": "PENDING", "done": 0, "end_at": None},
        ):
            connection.execute(text(BATCH), batch)
        for number, (batch, at) in enumerate([("a", 10), ("b", 10), ("b", 30), ("c", 15)]):
            row = {"id": f"i{number}", "batch": batch, "first": number, "at": at}
            connection.execute(text(ADDITION), row)
        program = "INSERT INTO program (hash, sequence, created_at) VALUES ('h', '{}', 1)"
        connection.execute(text(program))
    prepare(settings)
    with engine.connect() as connection:
        loads = connection.execute(
            text(
                "SELECT project_id, batches, unfinished_jobs, last_activity_at"
                " FROM project_load ORDER BY project_id"
            )
        )
        assert loads.all() == [("p", 2, 3, 30), ("q", 1, 5, 15)]
        # Jobs of a batch of that release may have it: nobody wrote it down.
        assert clean_up.unused_programs(connection, "", 10) == []
        batches = connection.execute(text("SELECT id FROM batch ORDER BY id")).scalars().all()
        assert batches == ["a", "b", "c"]
    engine.dispose()
