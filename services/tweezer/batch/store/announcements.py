"""Which batches are final and must be announced to the web servers of their users."""

from typing import Any, Final

from sqlalchemy import Connection, Integer, bindparam, select, update

from tweezer.batch.models import BATCH
from tweezer.webhooks.store import Announcement

FIRST: Final = select(BATCH.c.seq).where(BATCH.c.unannounced).limit(1)

NEXT: Final = (
    select(
        BATCH.c.seq,
        BATCH.c.id,
        BATCH.c.project_id,
        BATCH.c.webhook,
        BATCH.c.status,
        BATCH.c.device_type,
        BATCH.c.jobs_count,
        BATCH.c.done,
        BATCH.c.error,
        BATCH.c.canceled,
        BATCH.c.end_at,
    )
    .where(BATCH.c.unannounced)
    .order_by(BATCH.c.seq)
    .limit(bindparam("most", type_=Integer))
    .with_for_update(skip_locked=True)
)

_ANNOUNCED: Final = (
    update(BATCH)
    .where(BATCH.c.seq.in_(bindparam("seqs", expanding=True)))
    .values(unannounced=False)
)


class BatchNews:
    """Batches that have become final; see `tweezer.webhooks.delivery_loop.News`."""

    def waits(self, connection: Connection) -> bool:
        """Says whether there is any."""
        return connection.execute(FIRST).first() is not None

    def take(self, connection: Connection, most: int) -> list[Announcement]:
        """Returns some of them, which count as announced when the transaction is committed."""
        rows = connection.execute(NEXT, {"most": most}).all()
        if rows:
            connection.execute(_ANNOUNCED, {"seqs": [row.seq for row in rows]})
        return [_announcement(row) for row in rows]


def _announcement(row: Any) -> Announcement:
    return Announcement(
        event=f"batch.{row.status.lower()}",
        url=row.webhook,
        project_id=row.project_id,
        batch_id=row.id,
        at=row.end_at,
        facts={
            "id": row.id,
            "project_id": row.project_id,
            "device_type": row.device_type,
            "status": row.status,
            "jobs_count": row.jobs_count,
            "jobs_count_per_status": {
                "DONE": row.done,
                "ERROR": row.error,
                "CANCELED": row.canceled,
            },
        },
    )
