"""Which jobs are final and must be announced to the web servers of their users."""

from typing import Any, Final

import orjson
from sqlalchemy import Connection, Integer, bindparam, select, update

from tweezer.database.timestamps import to_timestamp
from tweezer.job.models import JOB, QUEUED_BATCH
from tweezer.webhooks.store import Announcement

_ONE: Final = select(JOB.c.seq).where(JOB.c.unannounced).limit(1)

_SOME: Final = (
    select(
        JOB.c.seq,
        JOB.c.id,
        JOB.c.batch_id,
        JOB.c.project_id,
        JOB.c.creation_order,
        JOB.c.status,
        JOB.c.errors,
        JOB.c.start_at,
        JOB.c.end_at,
        QUEUED_BATCH.c.webhook,
    )
    .join_from(JOB, QUEUED_BATCH, QUEUED_BATCH.c.id == JOB.c.batch_id)
    .where(JOB.c.unannounced)
    .order_by(JOB.c.seq)
    .limit(bindparam("most", type_=Integer))
    .with_for_update(of=JOB, skip_locked=True)
)

_ANNOUNCED: Final = (
    update(JOB).where(JOB.c.seq.in_(bindparam("seqs", expanding=True))).values(unannounced=False)
)


class JobNews:
    """Jobs that have become final; see `tweezer.webhooks.delivery_loop.News`."""

    def waits(self, connection: Connection) -> bool:
        """Says whether there is any."""
        return connection.execute(_ONE).first() is not None

    def take(self, connection: Connection, most: int) -> list[Announcement]:
        """Returns some of them, which count as announced when the transaction is committed."""
        rows = connection.execute(_SOME, {"most": most}).all()
        if rows:
            connection.execute(_ANNOUNCED, {"seqs": [row.seq for row in rows]})
        return [_announcement(row) for row in rows]


def _announcement(row: Any) -> Announcement:
    return Announcement(
        event=f"job.{row.status.lower()}",
        url=row.webhook,
        project_id=row.project_id,
        batch_id=row.batch_id,
        at=row.end_at,
        facts={
            "id": row.id,
            "batch_id": row.batch_id,
            "project_id": row.project_id,
            "creation_order": row.creation_order,
            "status": row.status,
            "errors": None if row.errors is None else orjson.loads(row.errors),
            "start_timestamp": _text(row.start_at),
            "end_timestamp": _text(row.end_at),
        },
    )


def _text(micros: int | None) -> str | None:
    return None if micros is None else to_timestamp(micros).ToJsonString()
