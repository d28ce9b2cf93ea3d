"""The one writer of an SQLite file in this process: changes that wait are committed together.

A commit costs as much as several statements, and so does a hop to another thread and back. Changes
that come while one is under way therefore share the next transaction. Each stands or falls alone:
one that raises is taken back, and the others stay.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final, TypeVar

from sqlalchemy import Connection

from tweezer.database.sqlite_connection import KeptConnection
from tweezer.database.trouble import DatabaseUnavailable, trouble, trouble_told

T = TypeVar("T")

#: What begins a transaction that will write: it waits for the lock, and not in its middle.
BEGIN: Final = "BEGIN IMMEDIATE"

#: How long a statement waits for another process's write lock, in milliseconds.
BUSY_TIMEOUT_MS: Final = 10_000

#: A wait in line that is worth looking at, and the least time for the lock after it, in
#: milliseconds.
_NOTICED_MS: Final = 500

#: The most changes in one transaction: the first of them waits for the last.
_TOGETHER: Final = 32


@dataclass(slots=True)
class _Change:
    """A change that somebody waits for."""

    work: Callable[[Connection], Any]
    done: asyncio.Future[Any]
    since: float
    result: Any = None
    error: Exception | None = None

    def tell(self) -> None:
        """Tells who waits; a caller who has gone away is told nothing."""
        if self.done.done():
            return
        if self.error is None:
            self.done.set_result(self.result)
        else:
            self.done.set_exception(self.error)


class Writer:
    """A thread with a connection of its own."""

    def __init__(self, kept: KeptConnection) -> None:
        self._kept = kept
        self._waiting: deque[_Change] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sqlite-writer")

    async def run(self, work: Callable[[Connection], T]) -> T:
        """Runs a change in a transaction and returns what it returns, when that is committed."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()
        self._waiting.append(_Change(work, done, monotonic()))
        self._thread.submit(self._work_off, loop)
        return await done

    def _work_off(self, loop: asyncio.AbstractEventLoop) -> None:
        """Runs what waits, which an earlier round may have done already."""
        changes = self._take()
        if not changes:
            return
        try:
            with trouble_told():
                self._commit(changes)
        except Exception as error:  # noqa: BLE001 - it belongs to those who wait
            if isinstance(error, DatabaseUnavailable):
                self._kept.drop()
            for change in changes:
                change.error = change.error or error
        loop.call_soon_threadsafe(_tell, changes)

    def _take(self) -> list[_Change]:
        taken: list[_Change] = []
        while self._waiting and len(taken) < _TOGETHER:
            change = self._waiting.popleft()
            if not change.done.cancelled():
                taken.append(change)
        return taken

    def _commit(self, changes: Sequence[_Change]) -> None:
        connection = self._kept.get()
        with _patience(connection, changes[0].since), connection.begin():
            connection.exec_driver_sql(BEGIN)
            if len(changes) == 1:
                changes[0].result = changes[0].work(connection)
                return
            for change in changes:
                _run_within(connection, change)

    async def close(self) -> None:
        """Closes the connection once what waits is done."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._kept.drop)
        self._thread.shutdown()


def _tell(changes: Sequence[_Change]) -> None:
    for change in changes:
        change.tell()


def _run_within(connection: Connection, change: _Change) -> None:
    """Runs a change inside the transaction of others."""
    # Through SQLAlchemy each of these would take as long as a statement.
    driver: Any = connection.connection.driver_connection
    driver.execute("SAVEPOINT change")
    try:
        change.result = change.work(connection)
    except Exception as error:
        if trouble(error) is not None:
            raise  # with the database: the whole of the transaction is lost
        driver.execute("ROLLBACK TO change")
        change.error = error
    driver.execute("RELEASE change")


@contextmanager
def _patience(connection: Connection, since: float) -> Iterator[None]:
    """Lets a wait for the write lock end as long after the call as if nobody had waited before it.

    Those that wait in line for this thread would otherwise begin their own wait for the lock only
    when the one before them has given up.
    """
    waited_ms = int((monotonic() - since) * 1000)
    if waited_ms < _NOTICED_MS:
        yield
        return
    # Through SQLAlchemy the statement would begin a transaction.
    driver: Any = connection.connection.driver_connection
    driver.execute(f"PRAGMA busy_timeout = {max(BUSY_TIMEOUT_MS - waited_ms, _NOTICED_MS)}")
    try:
        yield
    finally:
        driver.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
