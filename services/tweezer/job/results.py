"""The result store: one object for each result, in a folder or, through the same calls, in S3.

Each lease has a key of its own. A worker whose lease is lost can therefore never overwrite the
result of another, and whoever ends the lease without using the object can remove it:

- a result that was put and then refused, or came too late because the job was cancelled, is
  removed by the call that put it;
- what a crash of this process left behind between putting and recording is overwritten when the
  worker repeats the call, or else removed when the lease runs out.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import obstore
import structlog
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore

from tweezer.job.outcomes import HeldJob
from tweezer.rpc.errors import Unavailable

if TYPE_CHECKING:  # not there at run time
    from obstore import GetResult

log = structlog.get_logger(__name__)

#: Largest part in which a result is sent.
CHUNK_BYTES: Final = 256 * 1024

_AT_ONCE: Final = 16


class ResultGone(Exception):
    """A result that was stored is no longer there."""


def result_key(job: HeldJob, token: str) -> str:
    """Returns where the result of one lease of a job is put."""
    lease = hashlib.sha256(token.encode()).hexdigest()[:16]
    return f"{job.project_id}/{job.batch_id}/{job.id}.{lease}.json"


class ResultStore:
    """Puts, sends and removes result files."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    @classmethod
    def in_folder(cls, folder: Path) -> "ResultStore":
        """Opens a store in a folder, which is made if need be."""
        return cls(LocalStore(folder, mkdir=True))

    async def put(self, results: Mapping[str, bytes]) -> None:
        """Stores results by key; raises Unavailable when the store does not take all of them."""
        slots = asyncio.Semaphore(_AT_ONCE)

        async def put(key: str, result: bytes) -> None:
            async with slots:
                await obstore.put_async(self._store, key, result)

        puts = (put(key, result) for key, result in results.items())
        ends = await asyncio.gather(*puts, return_exceptions=True)
        for error in ends:
            if isinstance(error, BaseError | OSError):
                log.error("the result store does not take results", error=str(error))
                raise Unavailable("the result store is not available at present") from error
            if error is not None:
                raise error

    async def open(self, key: str) -> AsyncIterator[bytes]:
        """Opens a result and returns its parts; raises ResultGone when it is not there."""
        try:
            found = await obstore.get_async(self._store, key)
        except FileNotFoundError:
            raise ResultGone(key) from None
        except BaseError as error:
            log.error("the result store does not give results", error=str(error))
            raise Unavailable("the result store is not available at present") from error
        return _parts(found)

    async def remove(self, keys: Iterable[str]) -> None:
        """Removes results that nobody owns, where they exist.

        A store that refuses costs space, nothing else: what decided that nobody owns them is
        already recorded. So this is logged and not raised.
        """
        for key in keys:
            try:
                await obstore.delete_async(self._store, key)
            except FileNotFoundError:
                continue
            except BaseError as error:
                log.warning("a result that nobody owns is left behind", key=key, error=str(error))


async def _parts(found: "GetResult") -> AsyncIterator[bytes]:
    async for piece in found.stream(min_chunk_size=CHUNK_BYTES):
        view = memoryview(piece)
        for start in range(0, len(view), CHUNK_BYTES):
            yield bytes(view[start : start + CHUNK_BYTES])
