"""Stores new batches: the commit point of their creation."""

from typing import Final

from sqlalchemy import Connection, insert
from sqlalchemy.exc import IntegrityError

from tweezer.batch.models import ADDITION, BATCH, BATCH_TAG
from tweezer.batch.new_batch import NewBatch
from tweezer.batch.store.programs import keep_programs
from tweezer.rpc.errors import Unavailable

#: The first intent of a batch: it releases the first addition.
FIRST_INTENT: Final = 1

_INSERT_BATCH: Final = insert(BATCH).returning(BATCH.c.seq)


def create_batch(connection: Connection, new: NewBatch) -> None:
    """Stores a batch with its programs, its tags and its first addition."""
    row = new.row
    keep_programs(connection, new.checked.texts, row.created_at)
    batch_seq: int = connection.execute(
        _INSERT_BATCH,
        {
            **row._asdict(),
            "origin": new.origin,
            "cancelled": False,
            "timed_out": False,
            "paused": False,
            "intent_version": FIRST_INTENT,
            "acknowledged_version": 0,
            "progress_version": 0,
        },
    ).scalar_one()
    _insert_addition(connection, new)
    if new.checked.tags:
        connection.execute(
            insert(BATCH_TAG), [{"batch_seq": batch_seq, "tag": tag} for tag in new.checked.tags]
        )


def _insert_addition(connection: Connection, new: NewBatch) -> None:
    try:
        connection.execute(
            insert(ADDITION),
            {
                "id": new.addition_id,
                "batch_id": new.row.id,
                "intent_version": FIRST_INTENT,
                "first_order": 0,
                "jobs_count": new.row.jobs_count,
                "created_at": new.row.created_at,
            },
        )
    except IntegrityError:
        # It took so long that the addition was given up: its jobs are gone, or about to go.
        raise Unavailable("the batch could not be stored in time: try again") from None
