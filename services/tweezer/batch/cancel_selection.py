"""Which batches a call for many is to cancel."""

from collections.abc import Collection, Sequence
from typing import Final

from sqlalchemy import ColumnElement, Connection, select

from tweezer.batch.conversion import STATUS_FROM_MESSAGE
from tweezer.batch.filters import conditions_of, tagged_with
from tweezer.batch.identifiers import canonical_uuid
from tweezer.batch.models import BATCH
from tweezer.batch.visible import LONGEST_ID, not_found
from tweezer.database.database import Database
from tweezer.lifecycle import FINAL_BATCH_STATUSES, BatchStatus
from tweezer.rpc.errors import InvalidInput
from tweezer.rpc.identity import Caller
from tweezer.v1.batch_pb2 import BatchFilter
from tweezer.v1.batch_service_pb2 import CancelBatchesRequest

#: Most batches that one call cancels.
MAX_CANCELLED: Final = 1000

_ALLOWED: Final = (BatchStatus.PENDING.value, BatchStatus.RUNNING.value)


class CancelSelection:
    """Finds the batches that a caller names, one way or another."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def select(
        self, request: CancelBatchesRequest, caller: Caller
    ) -> tuple[list[str], dict[str, str]]:
        """Returns the batches to cancel, and why others are left alone, by identifier."""
        by_criteria = request.filter != BatchFilter() or bool(request.tags)
        if request.cancel_all and (by_criteria or request.batch_ids):
            raise InvalidInput("cancel_all", "cannot be combined with anything else")
        if request.batch_ids and by_criteria:
            raise InvalidInput("batch_ids", "cannot be combined with criteria")
        if request.batch_ids:
            return await self._named(request.batch_ids, caller)
        if not by_criteria and not request.cancel_all:
            raise InvalidInput(
                "batch_ids", "is needed unless there are criteria or cancel_all is true"
            )
        return await self._matching(_conditions(request, caller)), {}

    async def _named(
        self, texts: Sequence[str], caller: Caller
    ) -> tuple[list[str], dict[str, str]]:
        if len(texts) > MAX_CANCELLED:
            raise InvalidInput(
                "batch_ids", f"there are {len(texts)}, and the limit is {MAX_CANCELLED} a call"
            )
        asked = {text: canonical_uuid(text) for text in texts}
        found = await self._database.read(lambda c: _visible(c, asked.values(), caller))
        unknown = [text[:LONGEST_ID] for text, batch_id in asked.items() if batch_id not in found]
        return found, {text: not_found(text) for text in unknown}

    async def _matching(self, conditions: Sequence[ColumnElement[bool]]) -> list[str]:
        found = await self._database.scan(lambda c: _unfinished(c, conditions))
        if len(found) > MAX_CANCELLED:
            raise InvalidInput(
                "batch_ids",
                f"more than {MAX_CANCELLED} batches match, which is the limit of one call:"
                " narrow the criteria",
            )
        return found


def _conditions(request: CancelBatchesRequest, caller: Caller) -> list[ColumnElement[bool]]:
    if any(STATUS_FROM_MESSAGE.get(status) not in _ALLOWED for status in request.filter.statuses):
        raise InvalidInput("status", f"must be {' or '.join(_ALLOWED)}")
    conditions = conditions_of(request.filter, caller.project_ids)
    if request.tags:
        conditions.append(tagged_with(request.tags))
    return conditions


def _visible(connection: Connection, ids: Collection[str | None], caller: Caller) -> list[str]:
    rows = connection.execute(
        select(BATCH.c.id).where(
            BATCH.c.id.in_([i for i in ids if i is not None]),
            BATCH.c.project_id.in_(sorted(caller.project_ids)),
        )
    )
    return [row[0] for row in rows]


def _unfinished(connection: Connection, conditions: Sequence[ColumnElement[bool]]) -> list[str]:
    rows = connection.execute(
        select(BATCH.c.id)
        .where(
            *conditions,
            BATCH.c.cancelled.is_(False),
            BATCH.c.status.not_in(sorted(FINAL_BATCH_STATUSES)),
        )
        .order_by(BATCH.c.seq)
        .limit(MAX_CANCELLED + 1)
    )
    return [row[0] for row in rows]
