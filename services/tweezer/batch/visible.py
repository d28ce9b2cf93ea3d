"""Reads batches for callers who may see them; what others own is not found."""

from typing import Final

from tweezer.batch.conversion import batch_to_message
from tweezer.batch.identifiers import canonical_uuid, job_ids
from tweezer.batch.store.additions import spans_of
from tweezer.batch.store.reads import WholeBatch, find_batch, find_whole_batch
from tweezer.batch.store.rows import BatchRow
from tweezer.database.database import Database
from tweezer.rpc.errors import NotFound
from tweezer.rpc.identity import current_caller
from tweezer.v1.batch_pb2 import Batch

#: Longest identifier that is repeated in a message, in characters.
LONGEST_ID: Final = 64


class VisibleBatches:
    """The batches that the caller may see."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, batch_id: str) -> BatchRow:
        """Returns a batch, or raises NotFound."""
        return visible(await self._database.read(lambda c: find_batch(c, batch_id)), batch_id)

    async def find_with_sequence(self, batch_id: str) -> tuple[BatchRow, str | None]:
        """Returns a batch and the sequence that its jobs share, or raises NotFound."""
        found = await self._find_whole(batch_id)
        return found.row, found.sequence

    async def message(self, batch_id: str) -> Batch:
        """Returns all that is shown of a single batch, or raises NotFound."""
        row, sequence, next_order = await self._find_whole(batch_id)
        if next_order == row.jobs_count:  # the orders have no gap
            return batch_to_message(row, sequence, job_ids(batch_id, 0, next_order))
        spans = await self._database.read(lambda c: spans_of(c, batch_id))
        # Of what was added between the two reads the counts say nothing yet.
        ids = [i for span in spans for i in job_ids(batch_id, span.first_order, span.jobs_count)]
        return batch_to_message(row, sequence, ids[: row.jobs_count])

    async def _find_whole(self, batch_id: str) -> WholeBatch:
        found = await self._database.read(lambda c: find_whole_batch(c, batch_id))
        if found is None:
            raise NotFound(not_found(batch_id))
        visible(found.row, batch_id)
        return found


def canonical_batch_id(text: str) -> str:
    """Returns the identifier of a batch as it is stored; what is none is not found."""
    batch_id = canonical_uuid(text)
    if batch_id is None:
        raise NotFound(not_found(text[:LONGEST_ID]))
    return batch_id


def visible(row: BatchRow | None, batch_id: str) -> BatchRow:
    """Returns the batch unless it is somebody else's."""
    if row is None:
        raise NotFound(not_found(batch_id))
    current_caller().require_project(row.project_id, not_found(batch_id))
    return row


def not_found(batch_id: str) -> str:
    """Returns what is said of a batch that the caller may not see, and of one that is not there."""
    return f"batch {batch_id} not found"
