"""The result store: one object for each result, in a folder or in a bucket of S3.

Each lease has a key of its own. A worker whose lease is lost can therefore never overwrite the
result of another, and whoever ends the lease without using the object can remove it:

- a result that was put and then refused, or came too late because the job was cancelled, is
  removed by the call that put it;
- what a crash of this process left behind between putting and recording is overwritten when the
  worker repeats the call, or else removed when the lease runs out.

What slips through all the same is found by the sweep, which asks the rows who owns each object.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import obstore
import structlog
from obstore.exceptions import BaseError

from tweezer.job.outcomes import HeldJob
from tweezer.job.result_backing import Backing, StoreLink
from tweezer.job.result_folder import Folder
from tweezer.job.store_errors import summary
from tweezer.rpc.errors import Unavailable

if TYPE_CHECKING:  # not there at run time
    from obstore import GetResult

log = structlog.get_logger(__name__)

#: Largest part in which a result is sent.
CHUNK_BYTES: Final = 256 * 1024

_AT_ONCE: Final = 16

#: Objects in one part of a list.
_LISTED_AT_ONCE: Final = 500


class ResultGone(Exception):
    """A result that was stored is no longer there."""


def result_key(job: HeldJob, token: str) -> str:
    """Returns where the result of one lease of a job is put."""
    prefix = batch_prefix(job.project_id, job.batch_id)
    return f"{prefix}/{job.id}.{lease_mark(token)}.json"


def batch_prefix(project_id: str, batch_id: str) -> str:
    """Returns under what the results of a batch are put."""
    return f"{project_id}/{batch_id}"


def lease_mark(token: str) -> str:
    """Returns what tells the results of the leases of a job apart."""
    return hashlib.sha256(token.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object in the store."""

    key: str
    changed_at: int
    size: int


class ResultStore:
    """Puts, sends and removes result files."""

    def __init__(self, backing: Backing) -> None:
        self._backing, self._store = backing, backing.store

    @classmethod
    def in_folder(cls, folder: Path) -> "ResultStore":
        """Opens a store in a folder, which is made if need be."""
        return cls(Folder(folder))

    async def put(self, results: Mapping[str, bytes]) -> None:
        """Stores results by key; raises Unavailable when the store does not take all of them."""
        slots = asyncio.Semaphore(_AT_ONCE)

        async def put(key: str, result: bytes) -> None:
            async with slots:
                # By one request, so that no crash leaves parts of an object in a bucket.
                await obstore.put_async(self._store, key, result, use_multipart=False)

        puts = (put(key, result) for key, result in results.items())
        ends = await asyncio.gather(*puts, return_exceptions=True)
        for error in ends:
            if isinstance(error, BaseError | OSError):
                raise _unavailable("take results", error) from error
            if error is not None:
                raise error

    async def open(self, key: str) -> AsyncIterator[bytes]:
        """Opens a result and returns its parts; raises ResultGone when it is not there."""
        try:
            found = await obstore.get_async(self._store, key)
        except FileNotFoundError:
            await self._require()
            raise ResultGone(key) from None
        except (BaseError, OSError) as error:
            raise _unavailable("give results", error) from error
        return _parts(found)

    async def objects(self, prefix: str | None = None) -> AsyncIterator[Sequence[StoredObject]]:
        """Lists objects in small parts; raises Unavailable when the store does not."""
        await self._require()
        with _as_unavailable("list results"):
            async for part in obstore.list(self._store, prefix, chunk_size=_LISTED_AT_ONCE):
                yield [
                    StoredObject(
                        each["path"],
                        round(each["last_modified"].timestamp() * 1_000_000),
                        each["size"],
                    )
                    for each in part
                ]

    async def missing(self, keys: Iterable[str]) -> list[str]:
        """Returns those of some results that are not there."""
        slots = asyncio.Semaphore(_AT_ONCE)

        async def is_there(key: str) -> bool:
            async with slots:
                try:
                    await obstore.head_async(self._store, key)
                except FileNotFoundError:
                    return False
                return True

        asked = list(keys)
        with _as_unavailable("say what is stored"):
            found = await asyncio.gather(*map(is_there, asked))
        gone = [key for key, there in zip(asked, found, strict=True) if not there]
        if gone:
            await self._require()
        return gone

    async def link(self, key: str) -> StoreLink | None:
        """Returns a link to a result that the store answers, if it can; it need not be there."""
        with _as_unavailable("sign links"):
            return await self._backing.link(key)

    async def _require(self) -> None:
        """Raises Unavailable when the store as a whole is gone, so that nothing in it is."""
        with _as_unavailable("exist"):
            await self._backing.require()

    async def remove_all(self, prefix: str) -> int:
        """Removes every result under a prefix and returns their number."""
        removed = 0
        async for part in self.objects(prefix):
            await self.remove(each.key for each in part)
            removed += len(part)
        return removed

    async def remove_unfinished(self, before: int) -> int:
        """Removes what crashes have left of results that were being put, and returns their number.

        In a folder an object is written under another name first, which no list shows.
        """
        with _as_unavailable("remove unfinished results"):
            return await self._backing.remove_drafts(before)

    async def remove(self, keys: Iterable[str]) -> None:
        """Removes results that nobody owns, where they exist.

        A store that refuses costs space, nothing else: what decided that nobody owns them is
        already recorded. So this is logged and not raised.
        """
        slots = asyncio.Semaphore(_AT_ONCE)

        async def remove(key: str) -> None:
            async with slots:
                try:
                    await obstore.delete_async(self._store, key)
                except FileNotFoundError:
                    return
                except (BaseError, OSError) as error:
                    log.warning(
                        "a result that nobody owns is left behind", key=key, error=summary(error)
                    )

        await asyncio.gather(*map(remove, keys))


@contextmanager
def _as_unavailable(what: str) -> Iterator[None]:
    try:
        yield
    except (BaseError, OSError) as error:
        raise _unavailable(what, error) from error


def _unavailable(what: str, error: Exception) -> Unavailable:
    log.error(f"the result store does not {what}", error=summary(error))
    return Unavailable("the result store is not available at present")


async def _parts(found: "GetResult") -> AsyncIterator[bytes]:
    with _as_unavailable("give results"):
        async for piece in found.stream(min_chunk_size=CHUNK_BYTES):
            view = memoryview(piece)
            for start in range(0, len(view), CHUNK_BYTES):
                yield bytes(view[start : start + CHUNK_BYTES])
