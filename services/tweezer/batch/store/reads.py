"""Reads of batches."""

from collections.abc import Callable, Collection, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, bindparam, func, select

from tweezer.batch.models import BATCH, PROGRAM, PROJECT_LOAD
from tweezer.batch.store.rows import BATCH_COLUMNS, BatchRow
from tweezer.database.row_read import RowRead

_BATCH: Final = RowRead(select(*BATCH_COLUMNS).where(BATCH.c.id == bindparam("id")))

_WHOLE_BATCH: Final = RowRead(
    select(*BATCH_COLUMNS, PROGRAM.c.sequence, BATCH.c.next_order)
    .outerjoin(PROGRAM, PROGRAM.c.hash == BATCH.c.program_hash)
    .where(BATCH.c.id == bindparam("id"))
)

_BATCHES: Final = (
    select(*BATCH_COLUMNS, PROGRAM.c.sequence)
    .outerjoin(PROGRAM, PROGRAM.c.hash == BATCH.c.program_hash)
    .where(BATCH.c.id.in_(bindparam("ids", expanding=True)))
    .order_by(BATCH.c.seq)
)

_LAST_ACTIVITY: Final = (
    select(PROJECT_LOAD.c.project_id, PROJECT_LOAD.c.last_activity_at)
    .where(PROJECT_LOAD.c.project_id.in_(bindparam("projects", expanding=True)))
    .order_by(PROJECT_LOAD.c.project_id)
)

_MEAN_WAIT: Final = select(func.avg(BATCH.c.start_at - BATCH.c.created_at)).where(
    BATCH.c.device_type == bindparam("device_type"), BATCH.c.start_at >= bindparam("since")
)


class WholeBatch(NamedTuple):
    """A batch and what it has beside what lists show of it."""

    row: BatchRow
    sequence: str | None
    """The sequence that its jobs share."""
    next_order: int
    """The creation order of the job that is added next."""


def find_batch(connection: Connection, batch_id: str) -> BatchRow | None:
    """Returns a batch without its sequence."""
    row = _BATCH.first(connection, id=batch_id)
    return None if row is None else BatchRow(*row)


def find_whole_batch(connection: Connection, batch_id: str) -> WholeBatch | None:
    """Returns a batch with its sequence."""
    found = _WHOLE_BATCH.first(connection, id=batch_id)
    if found is None:
        return None
    *row, sequence, next_order = found
    return WholeBatch(BatchRow(*row), sequence, next_order)


def find_batches_and_sequences(
    connection: Connection, batch_ids: Sequence[str], most_characters: int
) -> list[tuple[BatchRow, str | None]]:
    """Returns batches with their sequences, oldest first.

    Sequences that would make them longer than `most_characters` together are left out: a message
    must hold the whole.
    """
    found: list[tuple[BatchRow, str | None]] = []
    room = most_characters
    for row in connection.execute(_BATCHES, {"ids": list(batch_ids)}):
        sequence: str | None = row[-1]
        if sequence is not None and len(sequence) > room:
            sequence = None
        room -= len(sequence or "")
        found.append((BatchRow(*row[:-1]), sequence))
    return found


def last_activity(connection: Connection, projects: Collection[str]) -> list[tuple[str, int]]:
    """Returns when jobs were last taken in for each of the projects that ever had a batch."""
    rows = connection.execute(_LAST_ACTIVITY, {"projects": sorted(projects)})
    return [(project_id, at) for project_id, at in rows]


def list_batches(
    connection: Connection,
    conditions: Sequence[ColumnElement[bool]],
    order: Sequence[ColumnElement[Any]],
    size: int,
    skip: int,
    total_of: Callable[[Callable[[], int]], int] = lambda count: count(),
) -> tuple[list[BatchRow], int]:
    """Returns a page of batches without their sequences, and how many there are in all.

    `total_of` may know their number already; it is given what counts them.
    """
    rows = connection.execute(page_query(conditions, order, size, skip))
    batches = [BatchRow(*row) for row in rows]
    if skip == 0 and len(batches) < size:
        return batches, len(batches)
    counting = select(func.count()).select_from(BATCH).where(*conditions)
    total = total_of(lambda: connection.execute(counting).scalar_one())
    # What was counted some moments ago may lack the newest.
    return batches, max(total, skip + len(batches) if batches else 0)


def page_query(
    conditions: Sequence[ColumnElement[bool]],
    order: Sequence[ColumnElement[Any]],
    size: int,
    skip: int,
) -> Select[Any]:
    """Returns the query of a page.

    It passes over the skipped batches in an index, and fetches the rows of the page only.
    """
    page = select(BATCH.c.seq).where(*conditions).order_by(*order).limit(size).offset(skip)
    return select(*BATCH_COLUMNS).where(BATCH.c.seq.in_(page)).order_by(*order)


def mean_wait_s(connection: Connection, device_type: str, since: int) -> int:
    """Returns how long the batches that started since then had waited, in whole seconds."""
    mean = connection.execute(_MEAN_WAIT, {"device_type": device_type, "since": since}).scalar_one()
    return 0 if mean is None else int(mean) // 1_000_000
