"""The kept statements also make sense to PostgreSQL."""

import re
from types import ModuleType

import pytest
from sqlalchemy import ClauseElement, Delete, Insert, Select, Update
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

from tweezer.job.filters import selection
from tweezer.job.models import JobTable
from tweezer.job.paging import page_of
from tweezer.job.store import (
    additions,
    cancelling,
    counts,
    endings,
    enqueue,
    exclusive,
    history,
    intents,
    leases,
    pauses,
    progress,
    reads,
)
from tweezer.job.store.landmarks import placed_queries
from tweezer.lifecycle import JOB_TRANSITIONS, JobEvent, transitions
from tweezer.v1 import paging_pb2
from tweezer.v1.job_pb2 import JobFilter

MODULES = [
    additions,
    counts,
    endings,
    enqueue,
    history,
    intents,
    leases,
    pauses,
    progress,
    reads,
]


def sql(statement: ClauseElement) -> str:
    return str(statement.compile(dialect=postgresql.dialect()))


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_kept_statements(module: ModuleType) -> None:
    kinds = (Select, Insert, Update, Delete)
    kept = [one for one in vars(module).values() if isinstance(one, kinds)]
    assert kept
    assert all(sql(statement) for statement in kept)


def test_statements_made_on_demand() -> None:
    for devices in (1, 2, 5):
        text = sql(leases._lease(devices))
        assert "WHERE job.status = 'PENDING' AND job.ready AND" in text
        assert text.count("LIMIT") == (1 if devices == 1 else devices + 1)
        assert "job.seq IN (__[POSTCOMPILE_alone])" in sql(leases._lease(devices, True))
        text = sql(exclusive._next_jobs(devices))
        assert text.count("(SELECT queued_batch.id") == text.count("NOT (EXISTS (") == devices
    for status, event in JOB_TRANSITIONS:
        if event not in (JobEvent.LEASE, JobEvent.CANCEL):
            assert "lease_token = %(held_token)s" in sql(endings._end(event, status))
    for source, target in transitions(JobEvent.CANCEL).items():
        assert "AND job.released" in sql(cancelling.cancel_jobs(source, target))
    for wanted in (JobFilter(), JobFilter(statuses=[1, 2]), JobFilter(id_prefix="a")):
        for skip in (0, 5):
            page = page_of(paging_pb2.Page(skip=skip, order_by="runs"))
            assert "NULLS LAST" in sql(reads.page_query(selection(wanted, ["p", "q"]), page))


def test_statements_from_a_place_compare_it_as_a_whole() -> None:
    queries = placed_queries("p", selection(JobFilter(), ["p"]).where)
    for query in (queries.further, queries.newer, queries.upwards):
        assert "(job.created_at, job.seq) > (" in sql(query)
    assert "(job.created_at, job.seq) <= (" in sql(queries.downwards)


def test_no_kept_statement_changes_what_steady_lists_choose_by() -> None:
    kept = [one for module in MODULES for one in vars(module).values() if isinstance(one, Update)]
    assert kept
    for statement in kept:
        changed = sql(statement).partition(" SET ")[2].partition(" WHERE ")[0]
        for column in ("project_id", "user_id", "origin", "runs", "created_at"):
            assert not re.search(rf"\b{column}=", changed)


def test_tables_and_indexes() -> None:
    for table in JobTable.metadata.sorted_tables:
        ddl = str(CreateTable(table).compile(dialect=postgresql.dialect()))
        assert "seq BIGSERIAL" in ddl
        for index in table.indexes:
            partial = index.dialect_options["sqlite"]["where"] is not None
            text = str(CreateIndex(index).compile(dialect=postgresql.dialect()))
            assert (" WHERE " in text) is partial
