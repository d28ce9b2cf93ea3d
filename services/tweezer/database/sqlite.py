"""SQLite: kept connections, a write-ahead log, one writer per process.

Short reads run on the event loop's own thread: through an index they take some tens of
microseconds, and a hop to another thread costs more than that. Writes and long reads have a thread
each; see `sqlite_writer`.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import NullPool

from tweezer.database.bell import Hearing
from tweezer.database.sqlite_connection import KeptConnection
from tweezer.database.sqlite_writer import BEGIN, BUSY_TIMEOUT_MS, Writer
from tweezer.database.trouble import DatabaseUnavailable, trouble_told

T = TypeVar("T")

#: NORMAL survives any crash of a process; a power cut may lose the last commits. FULL does not
#: lose them and costs a flush of the disk for each commit.
Synchronous = Literal["NORMAL", "FULL"]

_AUTOCOMMIT: Final = "AUTOCOMMIT"


def create_sqlite_engine(path: Path, synchronous: Synchronous = "NORMAL") -> Engine:
    """Returns an engine whose transactions begin as writers (BEGIN IMMEDIATE)."""
    engine = _create_engine(path, synchronous)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        if connection.get_execution_options().get("isolation_level") != _AUTOCOMMIT:
            connection.exec_driver_sql(BEGIN)

    return engine


def _create_engine(path: Path, synchronous: Synchronous) -> Engine:
    """Returns an engine whose transactions are not known to SQLite before BEGIN is sent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(f"sqlite:///{path}", poolclass=NullPool)

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _: Any) -> None:
        # The driver must not open transactions of its own.
        connection.isolation_level = None
        for pragma in (
            f"busy_timeout = {BUSY_TIMEOUT_MS}",
            "journal_mode = WAL",
            f"synchronous = {synchronous}",
            "foreign_keys = ON",
            "temp_store = MEMORY",
        ):
            connection.execute(f"PRAGMA {pragma}")

    return engine


class SqliteDatabase:
    """A Database in a file."""

    def __init__(self, path: Path, synchronous: Synchronous = "NORMAL") -> None:
        # An engine that listens to `begin` takes a fifth longer for every statement.
        self._engine = _create_engine(path, synchronous)
        self._writer = Writer(KeptConnection(path, self._engine.connect))
        self._scanner = _Scanner(KeptConnection(path, lambda: _open_reader(self._engine)))
        self._reader = _open_reader(self._engine)

    async def read(self, query: Callable[[Connection], T]) -> T:
        """Runs a short read over an index, at once."""
        with trouble_told():
            return query(self._reader)

    async def scan(self, query: Callable[[Connection], T]) -> T:
        """Runs a read that may take long in a thread."""
        return await self._scanner.run(query)

    async def write(self, change: Callable[[Connection], T]) -> T:
        """Runs a change in one transaction, perhaps with others, in the writer's thread."""
        return await self._writer.run(change)

    async def listen(self, hearing: Hearing, take_over_s: float) -> None:
        """Waits for ever: a file has one service."""
        await asyncio.Event().wait()

    async def close(self) -> None:
        """Closes the connections."""
        await self._writer.close()
        await self._scanner.close()
        self._reader.close()
        self._engine.dispose()


def _open_reader(engine: Engine) -> Connection:
    # In AUTOCOMMIT each statement sees the newest commit and no transaction stays open.
    return engine.connect().execution_options(isolation_level=_AUTOCOMMIT)


class _Scanner:
    """A thread with a connection of its own."""

    def __init__(self, kept: KeptConnection) -> None:
        self._kept = kept
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sqlite-scanner")

    async def run(self, query: Callable[[Connection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._run, query)

    def _run(self, query: Callable[[Connection], T]) -> T:
        try:
            with trouble_told():
                return query(self._kept.get())
        except DatabaseUnavailable:
            self._kept.drop()
            raise

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._kept.drop)
        self._thread.shutdown()
