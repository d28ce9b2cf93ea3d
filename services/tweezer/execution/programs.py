"""Texts of sequences, fetched once by content hash."""

import asyncio
from collections import OrderedDict
from typing import Final
from weakref import WeakValueDictionary

import grpc
import structlog

from tweezer.execution.attempts import PASSING
from tweezer.internal.v1.program_service_pb2 import GetProgramRequest
from tweezer.internal.v1.program_service_pb2_grpc import ProgramServiceStub
from tweezer.process.backoff import Backoff

log = structlog.get_logger(__name__)

#: Texts that are kept, in characters.
_KEPT: Final = 64 * 1024 * 1024


class ProgramMissing(Exception):
    """BatchService does not hand out the sequence; the text says why, in one sentence."""


class Programs:
    """Fetches sequences from BatchService and keeps those used last."""

    def __init__(self, service: ProgramServiceStub, max_kept: int = _KEPT) -> None:
        self._service, self._max_kept = service, max_kept
        self._texts: OrderedDict[str, str] = OrderedDict()
        self._size = 0
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def text(self, program_hash: str) -> str:
        """Returns the text of a sequence; waits while BatchService is away.

        Raises:
            ProgramMissing: BatchService does not hand it out.
        """
        # Jobs of one batch start together, and the first of them fetches for all.
        async with self._locks.setdefault(program_hash, asyncio.Lock()):
            if program_hash not in self._texts:
                self._keep(program_hash, await self._fetch(program_hash))
            self._texts.move_to_end(program_hash)
            return self._texts[program_hash]

    async def _fetch(self, program_hash: str) -> str:
        backoff = Backoff()
        while True:
            try:
                response = await self._service.GetProgram(
                    GetProgramRequest(program_hash=program_hash)
                )
            except grpc.aio.AioRpcError as error:
                if error.code() not in PASSING:
                    raise ProgramMissing(
                        f"The sequence of the job could not be fetched: {error.details()}."
                    ) from error
                wait_s = backoff.wait_s()
                log.warning(
                    "sequences cannot be fetched at present",
                    code=error.code().name,
                    details=error.details(),
                    next_attempt_in_s=round(wait_s, 2),
                )
                await asyncio.sleep(wait_s)
            else:
                return response.sequence

    def _keep(self, program_hash: str, text: str) -> None:
        self._texts[program_hash] = text
        self._size += len(text)
        while self._size > self._max_kept and len(self._texts) > 1:
            _, dropped = self._texts.popitem(last=False)
            self._size -= len(dropped)
