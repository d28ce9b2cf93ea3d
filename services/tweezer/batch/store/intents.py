"""Statements on what JobService must still be told."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, Integer, bindparam, select, update

from tweezer.batch.models import ADDITION, BATCH, unacknowledged

_UNACKNOWLEDGED: Final = (
    select(BATCH.c.id, BATCH.c.intent_version, BATCH.c.cancelled, BATCH.c.paused)
    .where(unacknowledged())
    .order_by(BATCH.c.seq)
    .limit(bindparam("limit", type_=Integer))
)

_RELEASED: Final = (
    select(ADDITION.c.batch_id, ADDITION.c.id, ADDITION.c.intent_version)
    .join(BATCH, BATCH.c.id == ADDITION.c.batch_id)
    .where(
        BATCH.c.id.in_(bindparam("ids", expanding=True)),
        ADDITION.c.intent_version > BATCH.c.acknowledged_version,
    )
    .order_by(ADDITION.c.seq)
)

_ACKNOWLEDGE: Final = (
    update(BATCH)
    .where(BATCH.c.id == bindparam("batch_id"), BATCH.c.acknowledged_version < bindparam("version"))
    .values(acknowledged_version=bindparam("version"))
)


@dataclass(frozen=True, slots=True)
class PendingIntent:
    """The newest intent of a batch that JobService has not acknowledged."""

    batch_id: str
    version: int
    released_addition_ids: tuple[str, ...]
    cancelled: bool
    paused: bool


def pending_intents(connection: Connection, limit: int) -> list[PendingIntent]:
    """Returns what JobService must still be told, oldest batches first."""
    batches = connection.execute(_UNACKNOWLEDGED, {"limit": limit}).all()
    if not batches:
        return []
    additions: defaultdict[str, list[tuple[str, int]]] = defaultdict(list)
    for batch_id, addition_id, version in connection.execute(
        _RELEASED, {"ids": [batch[0] for batch in batches]}
    ):
        additions[batch_id].append((addition_id, version))
    return [
        PendingIntent(
            batch_id=batch_id,
            version=version,
            # What was added between the two statements belongs to the next intent.
            released_addition_ids=tuple(i for i, since in additions[batch_id] if since <= version),
            cancelled=cancelled,
            paused=paused,
        )
        for batch_id, version, cancelled, paused in batches
    ]


def acknowledge(connection: Connection, intents: Iterable[PendingIntent]) -> None:
    """Records that JobService has applied these intents."""
    connection.execute(
        _ACKNOWLEDGE, [{"batch_id": i.batch_id, "version": i.version} for i in intents]
    )
