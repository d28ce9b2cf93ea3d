"""SQLite: kept connections, a write-ahead log, one writer per process.

Short reads run on the event loop's own thread: through an index they take some tens of
microseconds, and a hop to another thread costs more than that. Writes and long reads have a thread
each.
"""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any, Final, Literal, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import NullPool

from tweezer.database.bell import Hearing
from tweezer.database.trouble import DatabaseUnavailable, trouble_told

T = TypeVar("T")

#: How long a statement waits for another process's write lock, in milliseconds.
BUSY_TIMEOUT_MS: Final = 10_000

#: A wait in line that is worth looking at, and the least time for the lock after it, in
#: milliseconds.
_NOTICED_MS: Final = 500

#: NORMAL survives any crash of a process; a power cut may lose the last commits. FULL does not
#: lose them and costs a flush of the disk for each commit.
Synchronous = Literal["NORMAL", "FULL"]


def create_sqlite_engine(path: Path, synchronous: Synchronous = "NORMAL") -> Engine:
    """Returns an engine whose transactions begin as writers (BEGIN IMMEDIATE)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(f"sqlite:///{path}", poolclass=NullPool)

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _: Any) -> None:
        # The driver must not open transactions of its own: `begin` below does it.
        connection.isolation_level = None
        for pragma in (
            f"busy_timeout = {BUSY_TIMEOUT_MS}",
            "journal_mode = WAL",
            f"synchronous = {synchronous}",
            "foreign_keys = ON",
            "temp_store = MEMORY",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        if not connection.get_execution_options().get("read_only"):
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


class SqliteDatabase:
    """A Database in a file."""

    def __init__(self, path: Path, synchronous: Synchronous = "NORMAL") -> None:
        self._engine = create_sqlite_engine(path, synchronous)
        self._writer = _Worker(self._engine, "writer")
        self._scanner = _Worker(self._engine, "scanner", read_only=True)
        self._reader = _open_reader(self._engine)

    async def read(self, query: Callable[[Connection], T]) -> T:
        """Runs a short read over an index, at once."""
        with trouble_told():
            return query(self._reader)

    async def scan(self, query: Callable[[Connection], T]) -> T:
        """Runs a read that may take long in a thread."""
        return await self._scanner.run(query)

    async def write(self, change: Callable[[Connection], T]) -> T:
        """Runs a change in one transaction, in the writer's thread."""
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
    return engine.connect().execution_options(isolation_level="AUTOCOMMIT", read_only=True)


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
    # Through SQLAlchemy the statement would begin a transaction, hence wait for the lock.
    driver: Any = connection.connection.driver_connection
    driver.execute(f"PRAGMA busy_timeout = {max(BUSY_TIMEOUT_MS - waited_ms, _NOTICED_MS)}")
    try:
        yield
    finally:
        driver.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")


class _Worker:
    """A thread with a connection of its own, opened at the first use."""

    def __init__(self, engine: Engine, name: str, *, read_only: bool = False) -> None:
        self._engine, self._read_only = engine, read_only
        self._connection: Connection | None = None
        self._dropped = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"sqlite-{name}")

    async def run(self, work: Callable[[Connection], T]) -> T:
        run = asyncio.get_running_loop().run_in_executor
        return await run(self._thread, self._run, work, monotonic())

    def _run(self, work: Callable[[Connection], T], since: float) -> T:
        try:
            with trouble_told():
                return self._on_connection(work, since)
        except DatabaseUnavailable:
            self._drop_connection()
            raise

    def _on_connection(self, work: Callable[[Connection], T], since: float) -> T:
        if self._connection is None:
            self._refuse_to_make_a_file()
            self._connection = (
                _open_reader(self._engine) if self._read_only else self._engine.connect()
            )
        if self._read_only:
            return work(self._connection)
        with _patience(self._connection, since), self._connection.begin():
            return work(self._connection)

    def _refuse_to_make_a_file(self) -> None:
        # Instead of one that is away for a while, SQLite would make an empty one.
        if self._dropped and not Path(self._engine.url.database or "").exists():
            raise DatabaseUnavailable("the file of the database is not there at present")

    def _drop_connection(self) -> None:
        # A new one finds a file that was away or replaced; it is opened at the next use.
        connection, self._connection = self._connection, None
        self._dropped = True
        if connection is not None:
            connection.close()

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._drop_connection)
        self._thread.shutdown()
