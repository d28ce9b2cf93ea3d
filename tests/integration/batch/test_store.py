"""The tables: made by the migrations, guarded, and read through their indexes."""

import pytest
import sqlalchemy
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import func, select
from sqlalchemy.dialects import postgresql

from tweezer.batch.filters import conditions_of, order_of, queue_conditions, queue_order
from tweezer.batch.models import BATCH, BatchTable
from tweezer.batch.service import MIGRATIONS, prepare
from tweezer.batch.settings import BatchSettings
from tweezer.batch.store import (
    additions,
    announcements,
    decisions,
    intents,
    programs,
    progress,
    reads,
    state,
)
from tweezer.database.sqlite import create_sqlite_engine
from tweezer.database.timestamps import to_timestamp
from tweezer.rpc.paging import Paging
from tweezer.v1.batch_pb2 import BatchFilter, BatchStatus

PROJECT = "11111111-1111-4111-8111-111111111111"
IDENTIFIER = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff"
OTHER = "7f9619ff-8b86-4d01-b42d-00cf4fc964ff"
NEWEST = Paging(100, 0, "created_at", ascending=False)


@pytest.fixture
def connection(tmp_path):
    settings = BatchSettings(data_dir=tmp_path)
    prepare(settings)
    prepare(settings)  # a second start finds everything done
    engine = create_sqlite_engine(settings.batch_database_file)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def test_the_migrations_make_the_tables_of_the_models(connection):
    context = MigrationContext.configure(connection, opts={"compare_type": True})
    assert compare_metadata(context, BatchTable.metadata) == []
    made = set(checks(sqlalchemy.inspect(connection)))
    fresh = sqlalchemy.create_engine("sqlite://")
    BatchTable.metadata.create_all(fresh)
    assert made == set(checks(sqlalchemy.inspect(fresh)))
    fresh.dispose()


def checks(inspector):
    for table in inspector.get_table_names():
        if table != "alembic_version":
            for check in inspector.get_check_constraints(table):
                yield table, check["name"], check["sqltext"]


def test_the_migrations_can_be_undone(connection):
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.downgrade(config, "base")
    assert sqlalchemy.inspect(connection).get_table_names() == ["alembic_version"]


def plan(connection, query, **parameters):
    statement = query.params(parameters).compile(connection, compile_kwargs={"literal_binds": True})
    rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}")
    return [row[3] for row in rows]


def list_plan(connection, paging=NEWEST, projects=(PROJECT,), **wanted):
    conditions = conditions_of(BatchFilter(**wanted), projects)
    return plan(connection, reads.page_query(conditions, order_of(paging), 100, 0))


def test_a_list_is_read_in_the_order_of_an_index(connection):
    steps = list_plan(connection)
    assert "SEARCH batch USING COVERING INDEX ix_batch_project_created (project_id=?)" in steps
    assert "SEARCH batch USING INTEGER PRIMARY KEY (rowid=?)" in steps


def test_what_must_be_announced_is_found_by_index(connection):
    assert plan(connection, announcements.FIRST) == ["SCAN batch USING INDEX ix_batch_unannounced"]
    assert plan(connection, announcements.NEXT, most=100) == [
        "SCAN batch USING INDEX ix_batch_unannounced"
    ]


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        (
            {"statuses": [BatchStatus.BATCH_STATUS_RUNNING]},
            "ix_batch_project_status_created (project_id=? AND status=?)",
        ),
        ({"user_ids": ["u"]}, "ix_batch_project_user_created (project_id=? AND user_id=?)"),
    ],
)
def test_filtered_lists_too(connection, wanted, index):
    steps = list_plan(connection, **wanted)
    assert f"SEARCH batch USING COVERING INDEX {index}" in steps
    # The one sort that is left is that of the rows of the page.
    assert [step for step in steps if "TEMP B-TREE" in step] == ["USE TEMP B-TREE FOR ORDER BY"]


def test_tags_and_identifiers_are_found_by_index(connection):
    for wanted, searched in (
        ({"tag": "a"}, "batch_tag USING COVERING INDEX sqlite_autoindex_batch_tag_1 (tag=?)"),
        ({"ids": [IDENTIFIER]}, "batch USING INDEX sqlite_autoindex_batch_1 (id=?)"),
        ({"ids": [IDENTIFIER] * 3}, "batch USING INDEX sqlite_autoindex_batch_1 (id=?)"),
        ({"ids": [IDENTIFIER, OTHER]}, "batch USING INDEX sqlite_autoindex_batch_1 (id=?)"),
        ({"id_prefix": "6f9"}, "batch USING INDEX sqlite_autoindex_batch_1 (id>? AND id<?)"),
    ):
        assert f"SEARCH {searched}" in list_plan(connection, **wanted)


def test_the_count_reads_an_index_only(connection):
    query = select(func.count()).where(*conditions_of(BatchFilter(), [PROJECT]))
    (step,) = plan(connection, query.select_from(BATCH))
    assert step.startswith("SEARCH batch USING COVERING INDEX ix_batch_project_")


@pytest.mark.parametrize(
    ("query", "parameters", "table"),
    [
        (reads._BATCH.query, {"id": "x"}, "batch"),
        (state._LOCK, {"ids": ["x"]}, "batch"),
        (programs._FIND, {"hash": "x"}, "program"),
    ],
)
def test_single_rows_are_found_by_index(connection, query, parameters, table):
    (step,) = plan(connection, query, **parameters)
    assert step.startswith(f"SEARCH {table} USING INDEX sqlite_autoindex_{table}_")


def test_a_batch_and_its_sequence_are_found_by_index(connection):
    steps = plan(connection, reads._WHOLE_BATCH.query, id="x")
    assert [step.split(" USING ")[0] for step in steps[:2]] == [
        "SEARCH batch",
        "SEARCH program",
    ]


def test_what_must_be_told_has_an_index_of_its_own(connection):
    steps = plan(connection, intents._UNACKNOWLEDGED, limit=10)
    assert steps == ["SCAN batch USING INDEX ix_batch_unacknowledged"]
    steps = plan(connection, intents._RELEASED, ids=["x", "y"])
    assert not any(step.startswith("SCAN") for step in steps)


def test_the_queue_of_a_device_is_found_by_index(connection):
    query = reads.page_query(queue_conditions("EMU_FREE", [PROJECT]), queue_order(), 100, 0)
    steps = plan(connection, query)
    index = "ix_batch_project_status_created (project_id=? AND status=?)"
    assert f"SEARCH batch USING INDEX {index}" in steps


def test_idle_batches_have_an_index_of_their_own(connection):
    for query in (decisions._LONGEST_IDLE, decisions._IDLE):
        steps = plan(connection, query, since=0)
        assert any("ix_batch_idle" in step for step in steps), steps


def test_the_additions_of_a_batch_are_found_by_index(connection):
    (step,) = plan(connection, additions._SPANS, of_batch="x")
    assert step.startswith("SEARCH addition USING COVERING INDEX")


def test_waits_are_read_by_device_and_start(connection):
    (step,) = plan(connection, reads._MEAN_WAIT, device_type="EMU_FREE", since=0)
    assert step == ("SEARCH batch USING INDEX ix_batch_device_start (device_type=? AND start_at>?)")


def test_statements_compile_for_postgresql():
    everything = BatchFilter(
        ids=[IDENTIFIER, OTHER],
        id_prefix="6f",
        statuses=[BatchStatus.BATCH_STATUS_DONE],
        open=True,
        min_jobs=1,
        start_time=to_timestamp(1),
        tag="a",
    )
    paging = Paging(10, 5, "end_datetime", ascending=True)
    for statement in (
        reads.page_query(conditions_of(everything, [PROJECT]), order_of(paging), 10, 5),
        reads._MEAN_WAIT,
        intents._UNACKNOWLEDGED,
        intents._RELEASED,
        intents._UNACKNOWLEDGED_OF,
        additions._RESERVE,
        additions._SPANS,
        decisions._IDLE,
        decisions._LONGEST_IDLE,
        decisions._SET_TAGS,
        state._WANT,
        reads._LAST_ACTIVITY,
        intents._ACKNOWLEDGE,
        state._LOCK,
        progress._APPLY,
        programs._INSERT["postgresql"],
    ):
        assert str(statement.compile(dialect=postgresql.dialect()))


def test_the_tables_refuse_nonsense(connection):
    row = {
        **dict.fromkeys(("id", "project_id", "user_id", "device_type"), "x"),
        **dict.fromkeys(("open", "cancelled", "timed_out", "paused"), False),
        **dict.fromkeys(("running", "canceling", "done", "error", "canceled"), 0),
        **dict.fromkeys(("created_at", "updated_at", "progress_version"), 0),
        "queue_priority": "MEDIUM",
        "origin": "CLIENT",
        "tags": "[]",
        "status": "PENDING",
        "jobs_count": 1,
        "intent_version": 1,
        "acknowledged_version": 0,
        "next_order": 1,
    }
    with connection.begin():
        connection.execute(BATCH.insert(), row)
    for nonsense in (
        {"status": "LOST"},
        {"status": "DONE"},  # without an end
        {"end_at": 1},  # without being final
        {"done": 2},  # more than there are
        {"running": -1},
        {"queue_priority": "SOON"},
        {"origin": "MARS"},
        {"acknowledged_version": 2},
        {"next_order": 0},
        {"idle_since": 1},  # without being open
    ):
        with pytest.raises(sqlalchemy.exc.IntegrityError), connection.begin():
            connection.execute(BATCH.insert(), {**row, "id": "y", **nonsense})
