"""Results in a folder."""

import asyncio
from contextlib import suppress
from pathlib import Path

from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore

from tweezer.job.result_backing import StoreLink
from tweezer.process.run import StartFailed


class Folder:
    """A folder of this machine, or one that several share; it is made if need be."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            self._store = LocalStore(folder, mkdir=True, automatic_cleanup=True)
        except (BaseError, OSError) as error:
            raise StartFailed(f"cannot keep results in {folder}: {error}") from error

    @property
    def store(self) -> ObjectStore:
        """The files by key."""
        return self._store

    async def require(self) -> None:
        """Raises FileNotFoundError when the folder is gone."""
        if not self._folder.is_dir():
            raise FileNotFoundError(self._folder)

    async def link(self, key: str) -> StoreLink | None:
        """Returns None: nobody but us serves the files."""
        return None

    async def remove_drafts(self, before: int) -> int:
        """Removes files without their final name: none has that before it is whole."""
        return await asyncio.to_thread(_remove_drafts, self._folder, before)


def _remove_drafts(folder: Path, before: int) -> int:
    removed = 0
    for draft in folder.glob("*/*/*.json#*"):
        with suppress(FileNotFoundError):  # it has just got its name
            if draft.stat().st_mtime_ns // 1000 < before:
                draft.unlink()
                removed += 1
    return removed
