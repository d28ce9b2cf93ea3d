"""The result store: one object for each result, in a folder or, through the same calls, in S3.

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
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import obstore
import structlog
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore

from tweezer.job.outcomes import HeldJob
from tweezer.process.run import StartFailed
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


class ResultStore:
    """Puts, sends and removes result files."""

    def __init__(self, store: ObjectStore, folder: Path | None = None) -> None:
        self._store, self._folder = store, folder

    @classmethod
    def in_folder(cls, folder: Path) -> "ResultStore":
        """Opens a store in a folder, which is made if need be."""
        try:
            return cls(LocalStore(folder, mkdir=True, automatic_cleanup=True), folder)
        except (BaseError, OSError) as error:
            raise StartFailed(f"cannot keep results in {folder}: {error}") from error

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
                raise _unavailable("take results", error) from error
            if error is not None:
                raise error

    async def open(self, key: str) -> AsyncIterator[bytes]:
        """Opens a result and returns its parts; raises ResultGone when it is not there."""
        try:
            found = await obstore.get_async(self._store, key)
        except FileNotFoundError:
            self._require_folder()
            raise ResultGone(key) from None
        except (BaseError, OSError) as error:
            raise _unavailable("give results", error) from error
        return _parts(found)

    async def objects(self, prefix: str | None = None) -> AsyncIterator[Sequence[StoredObject]]:
        """Lists objects in small parts; raises Unavailable when the store does not."""
        self._require_folder()
        with _as_unavailable("list results"):
            async for part in obstore.list(self._store, prefix, chunk_size=_LISTED_AT_ONCE):
                yield [
                    StoredObject(each["path"], round(each["last_modified"].timestamp() * 1_000_000))
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
            self._require_folder()
        return gone

    def _require_folder(self) -> None:
        """Raises Unavailable when the store as a whole is gone, so that nothing in it is."""
        if self._folder is not None and not self._folder.is_dir():
            raise _unavailable("exist", FileNotFoundError(self._folder))

    async def remove_all(self, prefix: str) -> int:
        """Removes every result under a prefix and returns their number."""
        removed = 0
        async for part in self.objects(prefix):
            await self.remove(each.key for each in part)
            removed += len(part)
        return removed

    async def remove_unfinished(self, before: int) -> int:
        """Removes what crashes have left of results that were being put, and returns their number.

        In a folder an object is written under another name first, which no list shows. Other
        stores have nothing of the kind.
        """
        if self._folder is None:
            return 0
        with _as_unavailable("remove unfinished results"):
            return await asyncio.to_thread(_remove_drafts, self._folder, before)

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
            except (BaseError, OSError) as error:
                log.warning("a result that nobody owns is left behind", key=key, error=str(error))


def _remove_drafts(folder: Path, before: int) -> int:
    removed = 0
    for draft in folder.glob("*/*/*.json#*"):
        with suppress(FileNotFoundError):  # it has just got its name
            if draft.stat().st_mtime_ns // 1000 < before:
                draft.unlink()
                removed += 1
    return removed


@contextmanager
def _as_unavailable(what: str) -> Iterator[None]:
    try:
        yield
    except (BaseError, OSError) as error:
        raise _unavailable(what, error) from error


def _unavailable(what: str, error: Exception) -> Unavailable:
    log.error(f"the result store does not {what}", error=str(error))
    return Unavailable("the result store is not available at present")


async def _parts(found: "GetResult") -> AsyncIterator[bytes]:
    with _as_unavailable("give results"):
        async for piece in found.stream(min_chunk_size=CHUNK_BYTES):
            view = memoryview(piece)
            for start in range(0, len(view), CHUNK_BYTES):
                yield bytes(view[start : start + CHUNK_BYTES])
