"""How much work waits or runs altogether."""

from typing import Final

from sqlalchemy import Connection, func, select

from tweezer.job.conditions import has_unfinished, unfinished
from tweezer.job.models import QUEUED_BATCH


def unfinished_jobs(connection: Connection) -> int:
    """Returns the number of jobs that are not final, held ones included."""
    return int(connection.execute(_UNFINISHED).scalar_one())


_UNFINISHED: Final = select(func.coalesce(func.sum(unfinished(QUEUED_BATCH)), 0)).where(
    has_unfinished(QUEUED_BATCH)
)
