"""Lists of very many batches: a page and a count read indexes, and the rows of the page only.

The plans are those of SQLite. It makes them without looking at the data, so that an empty database
shows the same as one of 100,000 batches, with which the whole is done once.
"""

import pytest
from sqlalchemy import event, func, select, text

from tweezer.batch.filters import ORDER_COLUMNS, conditions_of, order_of
from tweezer.batch.models import BATCH
from tweezer.batch.service import prepare
from tweezer.batch.settings import BatchSettings
from tweezer.batch.store import clean_up, loads, requests
from tweezer.batch.store.reads import list_batches, page_query
from tweezer.database.sqlite import create_sqlite_engine
from tweezer.database.timestamps import to_timestamp
from tweezer.rpc.paging import Paging
from tweezer.v1.batch_pb2 import BatchFilter, BatchStatus, QueuePriority

PROJECT = "11111111-1111-4111-8111-111111111111"
OTHER_PROJECT = "22222222-2222-4222-8222-222222222222"
NUMBER = 100_000
FIRST = 1_700_000_000_000_000
SECOND = 1_000_000

# One in ten belongs to the other project; one in a hundred is special in one way or another.
FILL = """
    INSERT INTO batch (
        id, project_id, user_id, device_type, queue_priority, origin, tags, open, cancelled,
        timed_out, paused, intent_version, acknowledged_version, next_order, status, jobs_count,
        running, canceling, done, error, canceled, progress_version, created_at, updated_at,
        start_at, end_at, program_hash, backend_configuration
    )
    WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :number)
    SELECT
        printf('%08x-0000-4000-8000-%012x', (i * 2654435761) % 4294967296, i),
        CASE WHEN i % 10 = 9 THEN :other ELSE :project END,
        'user ' || (i % 20),
        CASE WHEN i % 100 = 1 THEN 'FRESNEL' ELSE 'EMU_FREE' END,
        CASE WHEN i % 100 = 2 THEN 'LOW' ELSE 'MEDIUM' END,
        'CLIENT', '[]', i % 100 = 3, 0, 0, 0, 1, 1, 1 + i % 50,
        CASE WHEN i % 100 IN (3, 4) THEN 'RUNNING' WHEN i % 100 = 5 THEN 'ERROR' ELSE 'DONE' END,
        1 + i % 50, 0, 0, CASE WHEN i % 100 IN (3, 4) THEN 0 ELSE 1 + i % 50 END, 0, 0, 1,
        :first + i * 1000000, :first + i * 1000000 + 2, :first + i * 1000000 + 1,
        CASE WHEN i % 100 IN (3, 4) THEN NULL ELSE :first + i * 1000000 + 2 END,
        'hash ' || (i % 1000), printf('%.500c', 'x')
    FROM n
"""


def fill(connection):
    parameters = {
        "number": NUMBER,
        "first": FIRST,
        "project": PROJECT,
        "other": OTHER_PROJECT,
    }
    connection.execute(text(FILL), parameters)
    tag = "INSERT INTO batch_tag (batch_seq, tag) SELECT seq, 'rare' FROM batch WHERE seq % 100 = 1"
    connection.execute(text(tag))


@pytest.fixture(scope="module", params=["empty", pytest.param("full", marks=pytest.mark.slow)])
def stored(request, tmp_path_factory):
    settings = BatchSettings(data_dir=tmp_path_factory.mktemp("scale"))
    prepare(settings)
    engine = create_sqlite_engine(settings.batch_database_file)
    if request.param == "full":
        with engine.begin() as connection:
            fill(connection)
    with engine.connect() as connection:
        yield connection, request.param == "full"
    engine.dispose()


def plan(connection, query, **parameters):
    """Returns the plan of a statement, and undoes what the statement does."""
    steps = []

    def explain(_, cursor, statement, values, *__):
        steps.extend(row[3] for row in cursor.execute(f"EXPLAIN QUERY PLAN {statement}", values))

    event.listen(connection, "before_cursor_execute", explain)
    try:
        connection.execute(query, parameters)
    finally:
        event.remove(connection, "before_cursor_execute", explain)
        connection.rollback()
    return steps


STATUS = BatchStatus.BATCH_STATUS_RUNNING, BatchStatus.BATCH_STATUS_PENDING
AGE = "COVERING INDEX ix_batch_project_created (project_id=?)"
BY_STATUS = "COVERING INDEX ix_batch_project_status_created (project_id=? AND status=?)"
BY_USER = "COVERING INDEX ix_batch_project_user_created (project_id=? AND user_id=?)"
BY_ID = "INDEX sqlite_autoindex_batch_1 "

#: What is searched, whether what matches is sorted, and how many match, for each filter.
FILTERS = {
    "no filter": ({}, AGE, False, 90_000),
    "one status": ({"statuses": STATUS[:1]}, BY_STATUS, False, 2000),
    "unfinished": ({"statuses": STATUS}, BY_STATUS, True, 2000),
    "statuses that many have": (
        {"statuses": [BatchStatus.BATCH_STATUS_DONE, BatchStatus.BATCH_STATUS_ERROR]},
        "INDEX ix_batch_project_created (project_id=?)",
        False,
        88_000,
    ),
    "one user": ({"user_ids": ["user 3"]}, BY_USER, False, 5000),
    "users": ({"user_ids": ["user 3", "user 5"]}, BY_USER, True, 10_000),
    "one device": ({"device_types": ["FRESNEL"]}, AGE, False, 1000),
    "devices": ({"device_types": ["FRESNEL", "EMU_SV"]}, AGE, False, 1000),
    "queue": ({"queue_priorities": [QueuePriority.QUEUE_PRIORITY_LOW]}, AGE, False, 1000),
    "open": ({"open": True}, AGE, False, 1000),
    "closed": ({"open": False}, AGE, False, 89_000),
    "at least so many jobs": ({"min_jobs": 49}, AGE, False, 2000),
    "at most so many jobs": ({"max_jobs": 2}, AGE, False, 4000),
    "started since": (
        {"start_time": to_timestamp(FIRST + (NUMBER - 1000) * SECOND)},
        "INDEX ix_batch_project_start (project_id=? AND start_at>?)",
        True,
        900,
    ),
    "ended until": (
        {"end_time": to_timestamp(FIRST + 1000 * SECOND)},
        "INDEX ix_batch_project_end (project_id=? AND end_at<?)",
        True,
        880,
    ),
    "tag": ({"tag": "rare"}, AGE, False, 1000),
    "identifiers": (
        {"ids": ["00000000-0000-4000-8000-000000000000"] * 2},
        BY_ID + "(id=?)",
        True,
        1,
    ),
    "start of an identifier": ({"id_prefix": "6f"}, BY_ID + "(id>? AND id<?)", True, None),
    "a project": ({"project_ids": [PROJECT]}, AGE, False, 90_000),
}


@pytest.mark.parametrize(
    ("wanted", "searched", "sorted_", "matching"), FILTERS.values(), ids=FILTERS.keys()
)
def test_a_page_reads_indexes_whatever_the_filter(stored, wanted, searched, sorted_, matching):
    connection, full = stored
    wanted = BatchFilter(**wanted)
    conditions = conditions_of(wanted, [PROJECT])
    order = order_of(Paging(100, 0, "created_at", ascending=False), wanted)
    steps = plan(connection, page_query(conditions, order, 100, 0))
    assert_only_the_page_is_fetched(steps)
    assert f"SEARCH batch USING {searched}" in steps
    # One sort is that of the rows of the page; the other that of what matches.
    assert steps.count("USE TEMP B-TREE FOR ORDER BY") <= 1 + sorted_
    for step in plan(connection, select(func.count()).select_from(BATCH).where(*conditions)):
        assert not step.startswith("SCAN")
    if full:
        rows, total = list_batches(connection, conditions, order, 100, 0)
        assert len(rows) == min(total, 100)
        assert rows == sorted(rows, key=lambda row: row.created_at, reverse=True)
        assert total == matching or matching is None
        assert total > 0


#: What each order is read from, and whether it has to be sorted.
ORDERS = {
    "created_at": (AGE, False),
    "start_datetime": ("COVERING INDEX ix_batch_project_start (project_id=?)", False),
    "end_datetime": ("COVERING INDEX ix_batch_project_end (project_id=?)", False),
    "status": ("COVERING INDEX ix_batch_project_status_created (project_id=?)", False),
    "device_type": (AGE, True),
    "jobs_count": (AGE, True),
    "queue_priority": (AGE, True),
    "updated_at": ("INDEX ix_batch_project_", True),
    "id": ("INDEX ix_batch_project_", True),
}


@pytest.mark.parametrize("ascending", [True, False])
@pytest.mark.parametrize("column", ORDER_COLUMNS)
def test_a_page_reads_indexes_whatever_the_order(stored, column, ascending):
    connection, full = stored
    searched, sorted_ = ORDERS[column]
    conditions = conditions_of(BatchFilter(), [PROJECT])
    order = order_of(Paging(100, 0, column, ascending=ascending))
    steps = plan(connection, page_query(conditions, order, 100, 0))
    assert_only_the_page_is_fetched(steps)
    assert any(step.startswith(f"SEARCH batch USING {searched}") for step in steps), steps
    sorts = [step for step in steps if "TEMP B-TREE" in step]
    assert sorts == ["USE TEMP B-TREE FOR ORDER BY"] * (1 + sorted_)
    if full:
        rows, total = list_batches(connection, conditions, order, 100, 0)
        assert (len(rows), total) == (100, 90_000)


def assert_only_the_page_is_fetched(steps):
    # The rows of the page are found by their keys; all else is in the query for these.
    assert steps[0] == "SEARCH batch USING INTEGER PRIMARY KEY (rowid=?)"
    assert not [step for step in steps if step.startswith("SCAN")]
    assert not [step for step in steps if step.split()[1] == "program"]


def test_a_page_far_behind_is_passed_over_in_the_index(stored):
    connection, full = stored
    conditions = conditions_of(BatchFilter(), [PROJECT])
    order = order_of(Paging(100, 50_000, "created_at", ascending=True))
    steps = plan(connection, page_query(conditions, order, 100, 50_000))
    assert f"SEARCH batch USING {AGE}" in steps
    if full:
        rows, _ = list_batches(connection, conditions, order, 100, 50_000)
        assert [row.created_at for row in rows] == sorted(row.created_at for row in rows)
        assert len(rows) == 100


CLEAN_UP = {
    "ended": (
        clean_up._ENDED_BATCHES,
        {"of_project": PROJECT, "before": 5, "after_end": 0, "after": 0, "limit": 10},
        {"ix_batch_project_end"},
    ),
    "additions given up": (
        clean_up._GIVEN_UP,
        {"before": 5},
        {"sqlite_autoindex_addition_"},
    ),
    "unused programs": (
        clean_up._UNUSED,
        {"after": "", "limit": 10},
        {"ix_program_tracked", "ix_batch_program", "ix_job_program_program"},
    ),
    "tags": (clean_up._BY_SEQ[0], {"seqs": [1, 2]}, {"ix_batch_tag_batch"}),
    "names": (requests._FREE_EXPIRED, {"now": 1}, {"ix_request_expires"}),
    "name": (
        requests._FIND,
        {"of_user": "u", "name": "x", "now": 1},
        {"sqlite_autoindex_request_1"},
    ),
    "load": (loads._LOAD.query, {"of_project": PROJECT}, {"sqlite_autoindex_project_load_1"}),
    "change of a load": (
        loads._CHANGE,
        {
            "of_project": PROJECT,
            "more_batches": 0,
            "more_unfinished_jobs": 1,
            "more_sequence_bytes": 0,
        },
        {"sqlite_autoindex_project_load_1"},
    ),
}


@pytest.mark.parametrize(
    ("statement", "parameters", "indexes"), CLEAN_UP.values(), ids=CLEAN_UP.keys()
)
def test_limits_names_and_clean_up_scan_nothing(stored, statement, parameters, indexes):
    steps = plan(stored[0], statement, **parameters)
    assert not [step for step in steps if step.startswith("SCAN")], steps
    assert {name for name in indexes if any(name in step for step in steps)} == indexes, steps
