"""Changes of mind about batches that are there already."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from tweezer.batch.models import BATCH, BATCH_TAG, idle
from tweezer.batch.store.state import BatchState, lock, want
from tweezer.rpc.errors import NotAllowedNow, NotFound

_IDLE: Final = select(BATCH.c.id).where(idle(), BATCH.c.idle_since <= bindparam("since"))

_LONGEST_IDLE: Final = select(func.min(BATCH.c.idle_since)).where(idle())

_SET_TAGS: Final = (
    update(BATCH)
    .where(BATCH.c.id == bindparam("batch_id"))
    .values(tags=bindparam("as_json"), updated_at=bindparam("now"))
    .returning(BATCH.c.seq)
)

_DROP_TAGS: Final = delete(BATCH_TAG).where(BATCH_TAG.c.batch_seq == bindparam("of_batch"))


def close_batch(connection: Connection, batch_id: str, now: int) -> None:
    """Takes no more jobs into a batch; NotAllowedNow when it is closed."""
    state = _existing(connection, batch_id)
    if not state.open:
        raise NotAllowedNow(f"batch {batch_id} is closed already")
    want(connection, state, replace(state.intent, open=False), now)


def cancel_batch(connection: Connection, batch_id: str, now: int) -> None:
    """Wants a batch no more; NotAllowedNow when it is final. A second time changes nothing."""
    state = _unfinished(connection, batch_id, "cancelled")
    if not state.cancelled:
        want(connection, state, replace(state.intent, open=False, cancelled=True), now)


def cancel_batches(connection: Connection, batch_ids: Iterable[str], now: int) -> dict[str, str]:
    """Cancels the batches that can be cancelled; returns why the others cannot, by identifier."""
    refused: dict[str, str] = {}
    for batch_id in sorted(batch_ids):  # all lock in one order
        try:
            cancel_batch(connection, batch_id, now)
        except NotAllowedNow as error:
            refused[batch_id] = str(error)
    return refused


def pause_batch(connection: Connection, batch_id: str, now: int, *, paused: bool) -> None:
    """Holds a batch back, or lets it go on; NotAllowedNow when it is final."""
    state = _unfinished(connection, batch_id, "paused" if paused else "resumed")
    if state.paused != paused:
        want(connection, state, replace(state.intent, paused=paused), now)


def time_out_idle(connection: Connection, since: int, now: int) -> list[str]:
    """Ends the open batches that have had nothing to run since then, and returns them."""
    timed_out: list[str] = []
    for batch_id in sorted(connection.execute(_IDLE, {"since": since}).scalars()):
        state = lock(connection, batch_id)
        # Until it was locked, jobs may have been added, or another process may have ended it.
        if state is None or not state.open or state.idle_since is None or state.idle_since > since:
            continue
        want(connection, state, replace(state.intent, open=False, timed_out=True), now)
        timed_out.append(batch_id)
    return timed_out


def longest_idle(connection: Connection) -> int | None:
    """Returns since when the batch that times out next has had nothing to run."""
    since: int | None = connection.execute(_LONGEST_IDLE).scalar_one()
    return since


def set_tags(
    connection: Connection, batch_id: str, tags: Iterable[str], as_json: str, now: int
) -> None:
    """Replaces the tags of a batch."""
    batch_seq: int = connection.execute(
        _SET_TAGS, {"batch_id": batch_id, "as_json": as_json, "now": now}
    ).scalar_one()
    connection.execute(_DROP_TAGS, {"of_batch": batch_seq})
    insert_tags(connection, batch_seq, tags)


def insert_tags(connection: Connection, batch_seq: int, tags: Iterable[str]) -> None:
    """Stores the tags of a batch that has none."""
    rows = [{"batch_seq": batch_seq, "tag": tag} for tag in tags]
    if rows:
        connection.execute(insert(BATCH_TAG), rows)


def _unfinished(connection: Connection, batch_id: str, done_to_it: str) -> BatchState:
    state = _existing(connection, batch_id)
    if state.is_final:
        raise NotAllowedNow(f"batch {batch_id} is {state.status} and can no longer be {done_to_it}")
    return state


def _existing(connection: Connection, batch_id: str) -> BatchState:
    state = lock(connection, batch_id)
    if state is None:
        raise NotFound(f"batch {batch_id} not found")
    return state
