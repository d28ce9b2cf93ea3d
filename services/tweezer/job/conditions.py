"""Conditions that statements share with the partial indexes made for them.

They are literal where the index is, so that the planner can match them.
"""

from sqlalchemy import ColumnElement, FromClause, and_, literal_column, not_, or_

from tweezer.lifecycle import JobStatus


def leasable(jobs: FromClause) -> ColumnElement[bool]:
    """Returns the condition of the lease index; literal, so that the planner can match it."""
    return and_(*_waiting(jobs), not_(jobs.c.exclusive))


def leasable_exclusively(jobs: FromClause) -> ColumnElement[bool]:
    """Returns the condition of the indexes of jobs that wait for an exclusive device."""
    return and_(*_waiting(jobs), jobs.c.exclusive)


def _waiting(jobs: FromClause) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    pending: ColumnElement[str] = literal_column(f"'{JobStatus.PENDING}'")
    return jobs.c.status == pending, jobs.c.ready


def occupies(jobs: FromClause) -> ColumnElement[bool]:
    """Returns the condition of a job that has an exclusive device for itself."""
    return and_(jobs.c.lease_token.is_not(None), jobs.c.exclusive)


def reserves(batches: FromClause) -> ColumnElement[bool]:
    """Returns the condition of a batch that an exclusive device is kept for.

    It has started and is not finished: some job is not final, or others can still be added.
    """
    growing = and_(batches.c.open, not_(batches.c.cancelled))
    occupied = or_(has_unfinished(batches), growing)
    return and_(batches.c.exclusive, batches.c.start_at.is_not(None), occupied)


def unfinished(batches: FromClause) -> ColumnElement[int]:
    """Returns how many jobs of a batch are not final; literal where it is compared in an index."""
    counts: ColumnElement[int] = batches.c.pending + batches.c.running + batches.c.canceling
    return counts


def has_unfinished(batches: FromClause) -> ColumnElement[bool]:
    """Returns the condition of the index of batches that are still worked on."""
    none: ColumnElement[int] = literal_column("0")
    return unfinished(batches) > none


def keeps_result(jobs: FromClause) -> ColumnElement[bool]:
    """Returns the condition of the index of the results that are stored."""
    return and_(jobs.c.result_key.is_not(None), jobs.c.result_removed_at.is_(None))


def unacknowledged(batches: FromClause) -> ColumnElement[bool]:
    """Returns the condition of the index of what must still be reported."""
    newer: ColumnElement[bool] = batches.c.progress_version > batches.c.acknowledged_version
    return newer
