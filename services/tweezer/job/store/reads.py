"""Reads for clients. None touches results or sequences: these are not in the tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, Select, bindparam, func, select, union_all

from tweezer.database.row_read import RowRead
from tweezer.job.filters import Condition, Selection
from tweezer.job.models import JOB, QUEUED_BATCH
from tweezer.job.paging import Page

#: What a client sees of a job, in the order in which `conversion.job_message` unpacks it.
JOB_COLUMNS: Final = (
    JOB.c.id,
    JOB.c.parent_id,
    JOB.c.status,
    JOB.c.runs,
    JOB.c.batch_id,
    JOB.c.project_id,
    JOB.c.user_id,
    JOB.c.created_at,
    JOB.c.updated_at,
    JOB.c.start_at,
    JOB.c.end_at,
    JOB.c.variables_json,
    JOB.c.errors,
    JOB.c.progress,
    JOB.c.creation_order,
    JOB.c.slurm_job_id,
    JOB.c.slurm_cluster_name,
    JOB.c.origin,
)


#: Jobs read at once by their identifiers.
_AT_ONCE: Final = 1000

#: A job as it was queued, in the order in which `conversion.queued_job_message` unpacks it.
QUEUED_COLUMNS: Final = (
    JOB.c.id,
    JOB.c.creation_order,
    JOB.c.runs,
    JOB.c.variables_json,
    JOB.c.program_hash,
    JOB.c.parent_id,
)


@dataclass(frozen=True, slots=True)
class StoredJob:
    """One job, with what its sequence is built from."""

    project_id: str
    program_hash: str | None
    variables_json: str | None
    columns: Sequence[Any]  #: JOB_COLUMNS


@dataclass(frozen=True, slots=True)
class ResultPlace:
    """Where the result of a job is."""

    project_id: str
    key: str | None  #: absent while there is none
    removed: bool  #: it was kept for long enough


def job(connection: Connection, job_id: str) -> StoredJob | None:
    """Returns a job."""
    row = _JOB.first(connection, named=job_id)
    if row is None:
        return None
    project_id, variables_json, own_program, batch_program, *columns = row
    return StoredJob(project_id, own_program or batch_program, variables_json, columns)


def status(connection: Connection, job_id: str) -> tuple[str, str] | None:
    """Returns the project and the status of a job."""
    row = _STATUS.first(connection, named=job_id)
    return None if row is None else (row[0], row[1])


def result_place(connection: Connection, job_id: str) -> ResultPlace | None:
    """Returns where the result of a job is."""
    row = _RESULT_PLACE.first(connection, named=job_id)
    return None if row is None else ResultPlace(row[0], row[1], removed=row[2] is not None)


def batch_project(connection: Connection, batch_id: str) -> str | None:
    """Returns the project of a batch, if any of its jobs were stored."""
    return connection.execute(_BATCH_PROJECT, {"named": batch_id}).scalar()


def jobs_in_batch(connection: Connection, batch_id: str, job_ids: Sequence[str]) -> set[str]:
    """Returns which of some jobs belong to a batch."""
    named = {"of_batch": batch_id, "named": list(job_ids)}
    return set(connection.execute(_JOBS_IN_BATCH, named).scalars())


def jobs(connection: Connection, job_ids: Sequence[str]) -> Sequence[Sequence[Any]]:
    """Returns jobs by their identifiers, in the order of these."""
    rows: dict[str, Sequence[Any]] = {}
    # Databases limit the number of values in a statement.
    for start in range(0, len(job_ids), _AT_ONCE):
        named = list(job_ids[start : start + _AT_ONCE])
        rows |= {row[0]: row for row in connection.execute(_JOBS, {"named": named})}
    return [rows[id_] for id_ in job_ids if id_ in rows]


def queued(connection: Connection, wanted: Selection) -> Sequence[Row[Any]]:
    """Returns the jobs that are wanted as they were queued, in creation order."""
    return connection.execute(queued_query(wanted)).all()


def queued_query(wanted: Selection) -> Select[Any]:
    """Returns the query for jobs as they were queued."""
    return select(*QUEUED_COLUMNS).where(*wanted.where).order_by(JOB.c.creation_order)


def page_query(wanted: Selection, page: Page) -> Select[Any]:
    """Returns the query for a part of a list."""
    order = page.order(page.column, JOB.c.seq)
    jobs = select(*JOB_COLUMNS).order_by(*order)
    if len(wanted.branches) == 1 and page.skip == 0:
        return jobs.where(*wanted.where).limit(page.size)
    # What is passed over is counted on the index alone; only the page itself is read in full.
    return jobs.where(JOB.c.seq.in_(_keys(wanted, page)))


def count_query(wanted: Selection) -> Select[int]:
    """Returns the query for the number of jobs that are wanted."""
    return select(func.count()).select_from(JOB).where(*wanted.where)


def _keys(wanted: Selection, page: Page) -> Select[int]:
    """Returns the query for the keys of a page: the first of each branch, merged."""
    if len(wanted.branches) == 1:
        return _head(wanted.branches[0], page, JOB.c.seq).limit(page.size).offset(page.skip)
    heads = [
        _head(branch, page, JOB.c.seq, page.column.label("value"))
        .limit(page.skip + page.size)
        .subquery()
        for branch in wanted.branches
    ]
    merged = union_all(*(select(head.c.seq, head.c.value) for head in heads)).subquery()
    order = page.order(merged.c.value, merged.c.seq)
    return select(merged.c.seq).order_by(*order).limit(page.size).offset(page.skip)


def _head(branch: Sequence[Condition], page: Page, *columns: ColumnElement[Any]) -> Select[Any]:
    order = page.order(page.column, JOB.c.seq)
    return select(*columns).where(*branch).order_by(*order).correlate(None)


_JOB: Final = RowRead(
    select(
        JOB.c.project_id,
        JOB.c.variables_json,
        JOB.c.program_hash,
        QUEUED_BATCH.c.program_hash,
        *JOB_COLUMNS,
    )
    .join_from(JOB, QUEUED_BATCH, JOB.c.batch_id == QUEUED_BATCH.c.id)
    .where(JOB.c.id == bindparam("named"))
)
_STATUS: Final = RowRead(
    select(JOB.c.project_id, JOB.c.status).where(JOB.c.id == bindparam("named"))
)
_JOBS: Final = select(*JOB_COLUMNS).where(JOB.c.id.in_(bindparam("named", expanding=True)))
_JOBS_IN_BATCH: Final = select(JOB.c.id).where(
    JOB.c.batch_id.concat("") == bindparam("of_batch"),
    JOB.c.id.in_(bindparam("named", expanding=True)),
)
_BATCH_PROJECT: Final = select(QUEUED_BATCH.c.project_id).where(
    QUEUED_BATCH.c.id == bindparam("named")
)
_RESULT_PLACE: Final = RowRead(
    select(JOB.c.project_id, JOB.c.result_key, JOB.c.result_removed_at).where(
        JOB.c.id == bindparam("named")
    )
)
