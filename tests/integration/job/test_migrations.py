from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

from tweezer.database.migrations import upgrade
from tweezer.database.sqlite import create_sqlite_engine
from tweezer.job.models import JobTable
from tweezer.job.service import MIGRATIONS


@pytest.fixture
def backend() -> str:
    return "sqlite"


def schema(engine: Engine) -> dict[str, list[str]]:
    """Returns the definitions in each table and index; a column may have been added at the end."""
    with engine.begin() as connection:
        rows = connection.execute(text("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL"))
        return {name: definitions(sql) for name, sql in rows if name != "alembic_version"}


def definitions(sql: str) -> list[str]:
    head, _, body = " ".join(sql.split()).partition("(")
    if not head.startswith("CREATE TABLE"):
        return [sql]
    parts, depth = [""], 0
    for letter in body[: body.rindex(")")]:
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [head.strip(), *sorted(part.strip() for part in parts)]


def test_the_migrations_make_the_tables_of_the_models(tmp_path: Path) -> None:
    migrated, described = (create_sqlite_engine(tmp_path / name) for name in ("a.db", "b.db"))
    upgrade(migrated, MIGRATIONS)
    with described.begin() as connection:
        JobTable.metadata.create_all(connection)
    assert {"job", "queued_batch", "queued_addition"} <= schema(described).keys()
    assert schema(migrated) == schema(described)
    migrated.dispose()
    described.dispose()


def test_a_second_start_changes_nothing(tables) -> None:
    before = schema(tables.engine)
    upgrade(tables.engine, MIGRATIONS)
    assert schema(tables.engine) == before


@pytest.mark.parametrize(
    ("constraint", "nonsense"),
    [
        ("ck_job_status", "status = 'FINISHED'"),
        ("ck_job_origin", "origin = 'FAX'"),
        ("ck_job_end_when_final", "end_at = 1"),
        ("ck_job_end_when_final", "status = 'CANCELED'"),
        ("ck_job_token_when_leased", "lease_token = 'x'"),
        ("ck_job_expiry_when_leased", "lease_expires_at = 1"),
        ("ck_job_token_when_leased", "status = 'RUNNING', start_at = 1, lease_expires_at = 1"),
        ("ck_job_expiry_when_leased", "status = 'CANCELING', start_at = 1, lease_token = 'x'"),
        ("ck_job_start_when_started", "start_at = 1"),
        ("ck_job_start_when_started", "status = 'DONE', end_at = 1, result_key = 'k'"),
        ("ck_job_result_when_done", "result_key = 'k'"),
        ("ck_job_result_when_done", "status = 'DONE', start_at = 1, end_at = 1"),
        ("ck_job_errors", "errors = '[]'"),
        ("ck_job_errors", "status = 'ERROR', start_at = 1, end_at = 1"),
        ("ck_job_progress", "progress = 101"),
        ("ck_job_attempt", "attempt = -1"),
        ("ck_job_held_is_pending", "ready = 1, released = 0"),
        ("ck_job_held_is_pending", "released = 0, status = 'CANCELED', end_at = 1"),
    ],
)
def test_the_database_refuses_nonsense_about_jobs(tables, constraint: str, nonsense: str) -> None:
    tables.add()
    with pytest.raises(IntegrityError, match=constraint):
        tables(lambda c: c.execute(text(f"UPDATE job SET {nonsense}")))


@pytest.mark.parametrize(
    ("constraint", "nonsense"),
    [
        ("ck_queued_batch_counts", "running = -1"),
        ("ck_queued_batch_acknowledged", "acknowledged_version = 1"),
        ("ck_queued_batch_queue_rank", "queue_rank = 0"),
    ],
)
def test_the_database_refuses_nonsense_about_batches(
    tables, constraint: str, nonsense: str
) -> None:
    tables.add()
    with pytest.raises(IntegrityError, match=constraint):
        tables(lambda c: c.execute(text(f"UPDATE queued_batch SET {nonsense}")))
