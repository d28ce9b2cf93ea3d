"""Statements on additions of jobs."""

from collections.abc import Sequence

from sqlalchemy import Connection, insert, select

from tweezer.batch.models import ADDITION


def uncommitted(connection: Connection, addition_ids: Sequence[str]) -> list[str]:
    """Returns those of the additions that belong to no batch."""
    rows = connection.execute(
        select(ADDITION.c.id).where(
            ADDITION.c.id.in_(addition_ids), ADDITION.c.batch_id.is_not(None)
        )
    )
    committed = {row[0] for row in rows}
    return [i for i in dict.fromkeys(addition_ids) if i not in committed]


def give_up_uncommitted(connection: Connection, addition_ids: Sequence[str], now: int) -> list[str]:
    """Returns those of the additions that were never committed, and sees to it that none will be.

    The caller drops their jobs. A call that is still under way and is about to commit one of them
    then fails, instead of making a batch that lacks jobs.
    """
    unknown = uncommitted(connection, addition_ids)
    rows = connection.execute(select(ADDITION.c.id).where(ADDITION.c.id.in_(unknown)))
    given_up = {row[0] for row in rows}
    fresh = [{"id": i, "created_at": now} for i in unknown if i not in given_up]
    if fresh:
        connection.execute(insert(ADDITION), fresh)
    return unknown
