"""Calls that their caller has named, so that sending one again does nothing."""

import hashlib
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from google.protobuf.message import Message

from tweezer.batch.store.requests import FormerCall, NamedRequest, find_request
from tweezer.database.database import Database
from tweezer.database.timestamps import Clock, now_micros
from tweezer.rpc.errors import AlreadyExists, DomainError, InvalidInput
from tweezer.v1.batch_service_pb2 import AddJobsRequest, CreateBatchRequest, RepeatBatchRequest

T = TypeVar("T")

#: Longest name, in characters.
MAX_LENGTH: Final = 255


class NamedRequests:
    """Sees to it that a named call is done once in the life of its name."""

    def __init__(self, database: Database, life_s: float, clock: Clock = now_micros) -> None:
        self._database, self._life, self._clock = database, round(life_s * 1_000_000), clock

    def name(
        self, request: CreateBatchRequest | AddJobsRequest | RepeatBatchRequest, user_id: str
    ) -> NamedRequest | None:
        """Returns the name of a call, None for one without, or raises InvalidInput."""
        if not request.HasField("request_id"):
            return None
        if not 1 <= len(request.request_id) <= MAX_LENGTH:
            raise InvalidInput("request_id", f"must have 1 to {MAX_LENGTH} characters")
        if "\0" in request.request_id:  # which PostgreSQL does not store
            raise InvalidInput("request_id", "must not contain the character U+0000")
        expires_at = self._clock() + self._life
        return NamedRequest(user_id, request.request_id, _digest(request), expires_at)

    async def once(
        self, named: NamedRequest | None, take_in: Callable[[], Awaitable[T]]
    ) -> T | FormerCall:
        """Takes something in unless the same call did it before, and then returns that one.

        AlreadyExists when another call has the name. `take_in` claims the name in the transaction
        that stores what it makes: of two at the same time one fails there.
        """
        if named is None:
            return await take_in()
        former = await self._former(named)
        if former is not None:
            return former
        try:
            return await take_in()
        except DomainError:
            # What is in its way may be what the same call did in the meantime.
            former = await self._former(named)
            if former is None:
                raise
            return former

    async def _former(self, named: NamedRequest) -> FormerCall | None:
        now = self._clock()
        former = await self._database.read(
            lambda c: find_request(c, named.user_id, named.request_id, now)
        )
        if former is not None and former.digest != named.digest:
            raise AlreadyExists(f"the request_id {named.request_id!r} names another request")
        return former


def _digest(request: Message) -> str:
    nameless = type(request)()
    nameless.CopyFrom(request)
    nameless.ClearField("request_id")
    content = hashlib.sha256(request.DESCRIPTOR.full_name.encode())
    content.update(b"\0" + nameless.SerializeToString(deterministic=True))
    return content.hexdigest()
