"""Statements on what JobService must still be told."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Integer, bindparam, select, update

from tweezer.batch.models import ADDITION, BATCH, unacknowledged

_INTENT: Final = select(
    BATCH.c.id, BATCH.c.intent_version, BATCH.c.cancelled, BATCH.c.paused, BATCH.c.open
)

_UNACKNOWLEDGED: Final = (
    _INTENT.where(unacknowledged()).order_by(BATCH.c.seq).limit(bindparam("limit", type_=Integer))
)

_UNACKNOWLEDGED_OF: Final = _INTENT.where(
    BATCH.c.id.in_(bindparam("ids", expanding=True)), unacknowledged()
).order_by(BATCH.c.seq)

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
    open: bool


def pending_intents(connection: Connection, limit: int) -> list[PendingIntent]:
    """Returns what JobService must still be told, oldest batches first."""
    return _with_additions(connection, connection.execute(_UNACKNOWLEDGED, {"limit": limit}).all())


def pending_intents_of(connection: Connection, batch_ids: Iterable[str]) -> list[PendingIntent]:
    """Returns what JobService must still be told of these batches."""
    rows = connection.execute(_UNACKNOWLEDGED_OF, {"ids": list(batch_ids)})
    return _with_additions(connection, rows.all())


def _with_additions(connection: Connection, batches: Sequence[Any]) -> list[PendingIntent]:
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
            open=is_open,
        )
        for batch_id, version, cancelled, paused, is_open in batches
    ]


def acknowledge(connection: Connection, intents: Iterable[PendingIntent]) -> None:
    """Records that JobService has applied these intents."""
    in_order = sorted(intents, key=lambda intent: intent.batch_id)  # all lock in one order
    connection.execute(
        _ACKNOWLEDGE, [{"batch_id": i.batch_id, "version": i.version} for i in in_order]
    )
