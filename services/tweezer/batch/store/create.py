"""Stores new batches: the commit point of their creation."""

from typing import Final

from sqlalchemy import Connection, insert

from tweezer.batch.models import BATCH
from tweezer.batch.new_batch import NewBatch
from tweezer.batch.store.additions import Span, store_addition
from tweezer.batch.store.decisions import insert_tags
from tweezer.batch.store.programs import keep_programs

#: The first intent of a batch: it releases the first addition.
FIRST_INTENT: Final = 1

_INSERT_BATCH: Final = insert(BATCH).returning(BATCH.c.seq)


def create_batch(connection: Connection, new: NewBatch) -> None:
    """Stores a batch with its programs, its tags and its first addition."""
    row, now = new.batch, new.batch.created_at
    keep_programs(connection, new.texts, now)
    batch_seq: int = connection.execute(
        _INSERT_BATCH,
        {
            **row._asdict(),
            "cancelled": False,
            "timed_out": False,
            "paused": False,
            "intent_version": FIRST_INTENT,
            "acknowledged_version": 0,
            "progress_version": 0,
            "next_order": row.jobs_count,
            "idle_since": now if row.jobs_count == 0 else None,
        },
    ).scalar_one()
    span = Span(0, row.jobs_count)
    store_addition(connection, row.id, new.jobs.addition_id, FIRST_INTENT, span, now)
    insert_tags(connection, batch_seq, new.tags)
