"""BatchService: takes in batches and says what becomes of them."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from tweezer.batch.checks.admission import Admission
from tweezer.batch.conversion import STATUS_TO_MESSAGE, batch_to_message, counts_to_message
from tweezer.batch.filters import ORDER_COLUMNS, conditions_of, order_of
from tweezer.batch.identifiers import canonical_uuid, job_ids
from tweezer.batch.intent_loop import IntentLoop
from tweezer.batch.new_batch import create_response, enqueue_request, make_batch
from tweezer.batch.paging import read_page
from tweezer.batch.store.create import create_batch
from tweezer.batch.store.reads import find_batch, find_batch_and_sequence, list_batches
from tweezer.batch.store.rows import BatchRow
from tweezer.batch.watch import BatchChanges
from tweezer.database.database import Database
from tweezer.database.timestamps import Clock, now_micros
from tweezer.internal.v1.queue_service_pb2_grpc import QueueServiceStub
from tweezer.lifecycle import FINAL_BATCH_STATUSES, BatchStatus
from tweezer.rpc.context import Context
from tweezer.rpc.errors import InvalidInput, NotFound
from tweezer.rpc.identity import current_caller
from tweezer.v1.batch_service_pb2 import (
    CreateBatchRequest,
    CreateBatchResponse,
    GetBatchRequest,
    GetBatchResponse,
    GetBatchStatusRequest,
    GetBatchStatusResponse,
    ListBatchesRequest,
    ListBatchesResponse,
    WatchBatchRequest,
    WatchBatchResponse,
)
from tweezer.v1.batch_service_pb2_grpc import BatchServiceServicer

#: Says which queue the batches of a project wait in.
QueuePriorityOf = Callable[[str], Awaitable[str]]

#: Longest identifier that is repeated in a message, in characters.
_LONGEST_ID: Final = 64


class BatchServicer(BatchServiceServicer):
    """Serves BatchService."""

    def __init__(
        self,
        database: Database,
        admission: Admission,
        queue: QueueServiceStub,
        intents: IntentLoop,
        changes: BatchChanges,
        queue_priority_of: QueuePriorityOf,
        watch_reread_s: float,
        clock: Clock = now_micros,
    ) -> None:
        self._database, self._admission, self._queue = database, admission, queue
        self._intents, self._changes = intents, changes
        self._queue_priority_of = queue_priority_of
        self._watch_reread_s, self._clock = watch_reread_s, clock

    async def CreateBatch(
        self, request: CreateBatchRequest, context: Context
    ) -> CreateBatchResponse:
        """Creates a batch with its first jobs."""
        project_id = _own_project(request.project_id)
        checked = await self._admission.check(request)
        new = make_batch(
            request,
            checked,
            project_id,
            current_caller().user_id,
            await self._queue_priority_of(project_id),
            self._clock(),
        )
        await self._queue.EnqueueJobs(enqueue_request(new))
        try:
            await self._database.write(lambda c: create_batch(c, new))
        finally:
            # Also when the caller goes away in this moment and the commit succeeds nevertheless.
            self._intents.wake()
        return create_response(new)

    async def GetBatch(self, request: GetBatchRequest, context: Context) -> GetBatchResponse:
        """Gets one batch with its sequence and the identifiers of its jobs."""
        batch_id = _batch_id(request.batch_id)
        found = await self._database.read(lambda c: find_batch_and_sequence(c, batch_id))
        row, sequence = found or (None, None)
        row = _visible(row, batch_id)
        identifiers = job_ids(row.id, 0, row.jobs_count)
        return GetBatchResponse(batch=batch_to_message(row, sequence, identifiers))

    async def GetBatchStatus(
        self, request: GetBatchStatusRequest, context: Context
    ) -> GetBatchStatusResponse:
        """Gets the status and the job counts of one batch."""
        row = await self._visible_batch(_batch_id(request.batch_id))
        return GetBatchStatusResponse(
            status=STATUS_TO_MESSAGE[row.status], job_counts=counts_to_message(row.counts)
        )

    async def ListBatches(
        self, request: ListBatchesRequest, context: Context
    ) -> ListBatchesResponse:
        """Lists the batches of the caller's projects."""
        paging = read_page(request.page, ORDER_COLUMNS)
        conditions = conditions_of(request.filter, current_caller().project_ids)
        order = order_of(paging)
        rows, total = await self._database.scan(
            lambda c: list_batches(c, conditions, order, paging.size, paging.skip)
        )
        return ListBatchesResponse(
            batches=[batch_to_message(row) for row in rows], total_size=total
        )

    async def WatchBatch(
        self, request: WatchBatchRequest, context: Context
    ) -> AsyncIterator[WatchBatchResponse]:
        """Sends the state of a batch at once and at each change, until it is final."""
        batch_id = _batch_id(request.batch_id)
        sent: WatchBatchResponse | None = None
        with self._changes.watch(batch_id) as watcher:
            while True:
                watcher.seen()
                row = await self._visible_batch(batch_id)
                state = WatchBatchResponse(
                    status=STATUS_TO_MESSAGE[row.status], job_counts=counts_to_message(row.counts)
                )
                if state != sent:
                    yield state
                    sent = state
                if BatchStatus(row.status) in FINAL_BATCH_STATUSES:
                    return
                # Word comes from this process; what another one changed is found by reading.
                await watcher.next_change(self._watch_reread_s)

    async def _visible_batch(self, batch_id: str) -> BatchRow:
        row = await self._database.read(lambda c: find_batch(c, batch_id))
        return _visible(row, batch_id)


def _own_project(text: str) -> str:
    project_id = canonical_uuid(text)
    if project_id is None:
        raise InvalidInput("project_id", "must be a UUID")
    current_caller().require_project(project_id, f"project {project_id} not found")
    return project_id


def _batch_id(text: str) -> str:
    batch_id = canonical_uuid(text)
    if batch_id is None:
        raise NotFound(_not_found(text[:_LONGEST_ID]))
    return batch_id


def _visible(row: BatchRow | None, batch_id: str) -> BatchRow:
    if row is None:
        raise NotFound(_not_found(batch_id))
    current_caller().require_project(row.project_id, _not_found(batch_id))
    return row


def _not_found(batch_id: str) -> str:
    return f"batch {batch_id} not found"
