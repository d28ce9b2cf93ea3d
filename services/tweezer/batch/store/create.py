"""Stores new batches: the commit point of their creation."""

from typing import Final

from sqlalchemy import Connection, insert

from tweezer.batch.limits import Limits
from tweezer.batch.models import BATCH
from tweezer.batch.new_batch import NewBatch
from tweezer.batch.store.additions import Span, store_addition
from tweezer.batch.store.decisions import insert_tags
from tweezer.batch.store.loads import Load, add_load
from tweezer.batch.store.programs import hold_programs, keep_programs, store_job_programs
from tweezer.batch.store.requests import NamedRequest, claim_request

#: The first intent of a batch: it releases the first addition.
FIRST_INTENT: Final = 1

_INSERT_BATCH: Final = insert(BATCH).returning(BATCH.c.seq)


def create_batch(
    connection: Connection, new: NewBatch, limits: Limits, named: NamedRequest | None = None
) -> None:
    """Stores a batch with its programs, its tags and its first addition.

    NameTaken when a call of the same name was faster, TooMuch when the project has too much.
    """
    row, now = new.batch, new.batch.created_at
    if named is not None:
        claim_request(connection, named, row.id, new.jobs.addition_id, now)
    kept_bytes = keep_programs(connection, new.texts, row.project_id, now)
    hold_programs(connection, new.program_hashes, new.texts)
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
    store_job_programs(connection, batch_seq, new.jobs.program_hashes)
    add_load(connection, row.project_id, Load(1, row.jobs_count, kept_bytes), limits, now)
