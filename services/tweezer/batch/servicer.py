"""BatchService: takes in batches and says what becomes of them."""

from collections.abc import AsyncIterator
from typing import Final

from tweezer.batch.cancel_selection import CancelSelection
from tweezer.batch.checks.admission import Admission
from tweezer.batch.conversion import STATUS_TO_MESSAGE, batch_to_message, counts_to_message
from tweezer.batch.deciding import Deciding
from tweezer.batch.filters import LARGEST_PAGE, ORDER_COLUMNS, conditions_of, order_of
from tweezer.batch.former import FormerAnswers
from tweezer.batch.identifiers import canonical_uuid
from tweezer.batch.named_request import NamedRequests
from tweezer.batch.new_batch import NewBatch
from tweezer.batch.new_jobs import job_messages
from tweezer.batch.store.reads import find_batches_and_sequences, last_activity, list_batches
from tweezer.batch.store.requests import FormerCall
from tweezer.batch.taking_in import TakingIn
from tweezer.batch.visible import VisibleBatches, canonical_batch_id
from tweezer.batch.watch import BatchChanges
from tweezer.database.database import Database
from tweezer.database.timestamps import to_timestamp
from tweezer.database.totals import Totals
from tweezer.lifecycle import FINAL_BATCH_STATUSES, BatchStatus
from tweezer.rpc.context import Context
from tweezer.rpc.errors import InvalidInput
from tweezer.rpc.identity import current_caller
from tweezer.rpc.paging import read_page
from tweezer.v1.batch_pb2 import Batch
from tweezer.v1.batch_service_pb2 import (
    AddJobsRequest,
    AddJobsResponse,
    CancelBatchesRequest,
    CancelBatchesResponse,
    CancelBatchRequest,
    CancelBatchResponse,
    CloseBatchRequest,
    CloseBatchResponse,
    CreateBatchRequest,
    CreateBatchResponse,
    GetBatchRequest,
    GetBatchResponse,
    GetBatchStatusRequest,
    GetBatchStatusResponse,
    ListBatchesRequest,
    ListBatchesResponse,
    ListLastActivityRequest,
    ListLastActivityResponse,
    ProjectActivity,
    RepeatBatchRequest,
    RepeatBatchResponse,
    SetBatchTagsRequest,
    SetBatchTagsResponse,
    WatchBatchRequest,
    WatchBatchResponse,
)
from tweezer.v1.batch_service_pb2_grpc import BatchServiceServicer
from tweezer.v1.job_pb2 import Job

#: Sequences of many batches that one answer holds; a message takes four times as much.
_MOST_SEQUENCE_CHARACTERS: Final = 16 * 1024 * 1024


class BatchServicer(BatchServiceServicer):
    """Serves BatchService."""

    def __init__(
        self,
        database: Database,
        admission: Admission,
        taking_in: TakingIn,
        named: NamedRequests,
        former: FormerAnswers,
        deciding: Deciding,
        changes: BatchChanges,
        watch_reread_s: float,
    ) -> None:
        self._database, self._admission = database, admission
        self._taking_in, self._deciding = taking_in, deciding
        self._named, self._former = named, former
        self._changes, self._watch_reread_s = changes, watch_reread_s
        self._visible, self._to_cancel = VisibleBatches(database), CancelSelection(database)
        self._totals = Totals()

    async def CreateBatch(
        self, request: CreateBatchRequest, context: Context
    ) -> CreateBatchResponse:
        """Creates a batch with its first jobs."""
        project_id, user_id = _own_project(request.project_id), current_caller().user_id
        named = self._named.name(request, user_id)
        new = await self._named.once(
            named, lambda: self._taking_in.create(request, project_id, user_id, named)
        )
        batch, jobs = await self._new_or_former(new)
        return CreateBatchResponse(batch=batch, jobs=jobs)

    async def GetBatch(self, request: GetBatchRequest, context: Context) -> GetBatchResponse:
        """Gets one batch with its sequence and the identifiers of its jobs."""
        batch_id = canonical_batch_id(request.batch_id)
        return GetBatchResponse(batch=await self._visible.message(batch_id))

    async def GetBatchStatus(
        self, request: GetBatchStatusRequest, context: Context
    ) -> GetBatchStatusResponse:
        """Gets the status and the job counts of one batch."""
        row = await self._visible.find(canonical_batch_id(request.batch_id))
        return GetBatchStatusResponse(
            status=STATUS_TO_MESSAGE[row.status], job_counts=counts_to_message(row.counts)
        )

    async def ListBatches(
        self, request: ListBatchesRequest, context: Context
    ) -> ListBatchesResponse:
        """Lists the batches of the caller's projects."""
        paging = read_page(request.page, ORDER_COLUMNS, LARGEST_PAGE)
        conditions = conditions_of(request.filter, current_caller().project_ids)
        order = order_of(paging, request.filter)
        key = (request.filter.SerializeToString(deterministic=True), current_caller().project_ids)
        rows, total = await self._database.scan(
            lambda c: list_batches(
                c,
                conditions,
                order,
                paging.size,
                paging.skip,
                lambda count: self._totals.of(key, count),
            )
        )
        return ListBatchesResponse(
            batches=[batch_to_message(row) for row in rows], total_size=total
        )

    async def AddJobs(self, request: AddJobsRequest, context: Context) -> AddJobsResponse:
        """Adds jobs to an open batch."""
        batch_id = canonical_batch_id(request.batch_id)
        row, sequence = await self._visible.find_with_sequence(batch_id)
        named = self._named.name(request, current_caller().user_id)
        new = await self._named.once(
            named, lambda: self._taking_in.add(row, sequence, request.jobs, named)
        )
        if isinstance(new, FormerCall):
            batch, jobs = await self._former.of(new)
        else:
            batch, jobs = await self._visible.message(batch_id), job_messages(new)
        return AddJobsResponse(batch=batch, jobs=jobs)

    async def CloseBatch(self, request: CloseBatchRequest, context: Context) -> CloseBatchResponse:
        """Closes an open batch."""
        row = await self._visible.find(canonical_batch_id(request.batch_id))
        await self._deciding.close(row.id)
        return CloseBatchResponse(batch=await self._visible.message(row.id))

    async def CancelBatch(
        self, request: CancelBatchRequest, context: Context
    ) -> CancelBatchResponse:
        """Cancels a batch and its unfinished jobs."""
        row = await self._visible.find(canonical_batch_id(request.batch_id))
        await self._deciding.cancel(row.id)
        return CancelBatchResponse(batch=await self._visible.message(row.id))

    async def CancelBatches(
        self, request: CancelBatchesRequest, context: Context
    ) -> CancelBatchesResponse:
        """Cancels several batches."""
        chosen, errors = await self._to_cancel.select(request, current_caller())
        refused = await self._deciding.cancel_many(chosen)
        cancelled = [batch_id for batch_id in chosen if batch_id not in refused]
        found = await self._database.scan(
            lambda c: find_batches_and_sequences(c, cancelled, _MOST_SEQUENCE_CHARACTERS)
        )
        return CancelBatchesResponse(
            batches=[batch_to_message(row, sequence) for row, sequence in found],
            errors={**errors, **refused},
        )

    async def RepeatBatch(
        self, request: RepeatBatchRequest, context: Context
    ) -> RepeatBatchResponse:
        """Creates a closed batch that repeats the matching jobs of another."""
        batch_id = canonical_batch_id(request.batch_id)
        row, sequence = await self._visible.find_with_sequence(batch_id)
        user_id = current_caller().user_id
        named = self._named.name(request, user_id)
        new = await self._named.once(
            named,
            lambda: self._taking_in.repeat(row, sequence, request.filter, user_id, named),
        )
        batch, jobs = await self._new_or_former(new)
        return RepeatBatchResponse(batch=batch, jobs=jobs)

    async def SetBatchTags(
        self, request: SetBatchTagsRequest, context: Context
    ) -> SetBatchTagsResponse:
        """Replaces the tags of a batch."""
        row = await self._visible.find(canonical_batch_id(request.batch_id))
        tags = self._admission.check_tags(request.tags)
        await self._deciding.set_tags(row.id, tags)
        return SetBatchTagsResponse(batch=await self._visible.message(row.id))

    async def ListLastActivity(
        self, request: ListLastActivityRequest, context: Context
    ) -> ListLastActivityResponse:
        """Says when each of the caller's projects last took in jobs."""
        projects = current_caller().project_ids
        if request.project_ids:
            asked = {canonical_uuid(text) for text in request.project_ids}
            projects = frozenset(project for project in projects if project in asked)
        rows = await self._database.scan(lambda c: last_activity(c, projects))
        return ListLastActivityResponse(
            projects=[
                ProjectActivity(project_id=project_id, last_activity_time=to_timestamp(at))
                for project_id, at in rows
            ]
        )

    async def WatchBatch(
        self, request: WatchBatchRequest, context: Context
    ) -> AsyncIterator[WatchBatchResponse]:
        """Sends the state of a batch at once and at each change, until it is final."""
        batch_id = canonical_batch_id(request.batch_id)
        sent: WatchBatchResponse | None = None
        with self._changes.watch(batch_id) as watcher:
            while True:
                watcher.seen()
                row = await self._visible.find(batch_id)
                state = WatchBatchResponse(
                    status=STATUS_TO_MESSAGE[row.status], job_counts=counts_to_message(row.counts)
                )
                if state != sent:
                    yield state
                    sent = state
                if BatchStatus(row.status) in FINAL_BATCH_STATUSES:
                    return
                # Word comes from whichever process made a change; should it be lost, time does.
                await watcher.next_change(self._watch_reread_s)

    async def _new_or_former(self, new: NewBatch | FormerCall) -> tuple[Batch, list[Job]]:
        if isinstance(new, FormerCall):
            return await self._former.of(new)
        message = batch_to_message(new.batch, new.sequence, new.jobs.ids)
        return message, job_messages(new.jobs)


def _own_project(text: str) -> str:
    project_id = canonical_uuid(text)
    if project_id is None:
        raise InvalidInput("project_id", "must be a UUID")
    current_caller().require_project(project_id, f"project {project_id} not found")
    return project_id
