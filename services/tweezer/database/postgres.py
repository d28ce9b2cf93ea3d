"""PostgreSQL: kept connections in a few threads, transactions that are begun again.

Each thread has one connection and keeps it, so that a statement needs no look into a pool; one
that was lost is replaced at the next use. Reads see the newest commit at each statement. Changes
run in READ COMMITTED: the stores lock the rows that they decide by, and guard every UPDATE.

Two transactions that need each other's rows, or that store the same name, are not an error of
anybody: one of them is begun again, and finds what the other has done.
"""

import asyncio
import secrets
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any, Final, Literal, TypeVar

import structlog
from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from tweezer.database.bell import SENDER, Hearing
from tweezer.database.postgres_listening import Listener
from tweezer.database.trouble import trouble_told

T = TypeVar("T")

log = structlog.get_logger(__name__)

#: How long a statement waits for somebody else's lock, in milliseconds.
LOCK_TIMEOUT_MS: Final = 10_000

#: How long a process may stand still within a transaction before the server takes its locks away,
#: in milliseconds: the other replicas must not wait for one that was stopped.
IDLE_TIMEOUT_MS: Final = 15_000

#: How long a connection may take to be made, in seconds.
CONNECT_TIMEOUT_S: Final = 5

#: How often a transaction is begun before its failure is passed on.
_ATTEMPTS: Final = 10

_CONNECT_ARGS: Final = {
    "connect_timeout": CONNECT_TIMEOUT_S,
    "application_name": "tweezer",
    # A server that vanished without a word is noticed.
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}

IsolationLevel = Literal["READ COMMITTED", "AUTOCOMMIT"]

#: SQLSTATEs of transactions that may succeed when they are begun again.
_BEGIN_AGAIN: Final = frozenset(
    {
        "40001",  # serialisation failure
        "40P01",  # deadlock
        "23505",  # unique violation: somebody stored the same meanwhile, and is seen next time
        "23503",  # foreign key violation: somebody deleted what this points to
    }
)


def create_postgres_engine(url: URL, isolation_level: IsolationLevel = "READ COMMITTED") -> Engine:
    """Returns an engine whose transactions are READ COMMITTED, whatever the server's default."""
    engine = create_engine(
        url,
        poolclass=NullPool,
        isolation_level=isolation_level,
        connect_args=_CONNECT_ARGS,
    )

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _: Any) -> None:
        # Not among the connection's options: a pooler in between may refuse these.
        with connection.cursor() as cursor:
            cursor.execute(
                f"SET lock_timeout = {LOCK_TIMEOUT_MS};"
                f" SET idle_in_transaction_session_timeout = {IDLE_TIMEOUT_MS}"
            )
        connection.commit()

    return engine


class PostgresDatabase:
    """A Database on a server."""

    def __init__(self, url: URL, connections: int = 8) -> None:
        reads = max(1, connections // 4)
        self._url, self._sender = url, secrets.token_hex(8)
        self._readers = self._workers("reader", reads, "AUTOCOMMIT")
        self._scanners = self._workers("scanner", reads, "AUTOCOMMIT")
        self._writers = self._workers("writer", connections - 2 * reads, "READ COMMITTED")

    async def read(self, query: Callable[[Connection], T]) -> T:
        """Runs a short read over an index."""
        return await self._readers.run(query)

    async def scan(self, query: Callable[[Connection], T]) -> T:
        """Runs a read that may take long, in threads of its own."""
        return await self._scanners.run(query)

    async def write(self, change: Callable[[Connection], T]) -> T:
        """Runs a change in one transaction; it is run again when another got in its way."""
        return await self._writers.run(change)

    async def listen(self, hearing: Hearing, take_over_s: float) -> None:
        """Hears for ever what other processes tell, on one more connection."""
        await Listener(self._url, _CONNECT_ARGS, self._sender, hearing).run(take_over_s)

    async def close(self) -> None:
        """Closes the connections, once what is under way has ended."""
        for workers in (self._readers, self._scanners, self._writers):
            await asyncio.to_thread(workers.close)

    def _workers(self, name: str, number: int, isolation_level: IsolationLevel) -> "_Workers":
        engine = create_postgres_engine(self._url, isolation_level)
        return _Workers(engine, name, number, self._sender)


class _Workers:
    """Threads with a connection each, opened at the first use."""

    def __init__(self, engine: Engine, name: str, number: int, sender: str) -> None:
        self._engine, self._sender = engine, sender
        self._own = threading.local()
        self._opened: set[Connection] = set()
        self._threads = ThreadPoolExecutor(number, thread_name_prefix=f"postgres-{name}")

    async def run(self, work: Callable[[Connection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._run, work)

    def close(self) -> None:
        self._threads.shutdown()
        for connection in self._opened:
            connection.close()
        self._engine.dispose()

    def _run(self, work: Callable[[Connection], T]) -> T:
        with trouble_told():
            for attempt in count(1):
                try:
                    return self._transact(work)
                except _Undone as undone:
                    # When one connection after the other is lost, the next would be no better.
                    if attempt == _ATTEMPTS or (undone.lost and attempt > 1):
                        raise undone.error from None
                    log.debug("a transaction is begun again", cause=str(undone.error.orig))
        raise AssertionError("count has ended")

    def _transact(self, work: Callable[[Connection], T]) -> T:
        """Runs a transaction; _Undone says that it left nothing and may be begun again."""
        try:
            with self._connection().begin() as transaction:
                try:
                    result = work(transaction.connection)
                except DBAPIError as error:
                    if error.connection_invalidated or sqlstate(error) in _BEGIN_AGAIN:
                        raise _Undone(error) from error
                    raise
            # Nobody knows whether a commit that was not answered was done: it is not repeated.
            return result
        except _Undone as undone:
            if undone.lost:
                self._forget_connection()
            raise
        except DBAPIError as error:
            if error.connection_invalidated:
                self._forget_connection()
            raise

    def _connection(self) -> Connection:
        connection: Connection | None = getattr(self._own, "connection", None)
        if connection is None:
            connection = self._own.connection = self._engine.connect()
            connection.info[SENDER] = self._sender
            self._opened.add(connection)
        return connection

    def _forget_connection(self) -> None:
        connection: Connection = self._own.connection
        self._own.connection = None
        self._opened.discard(connection)
        connection.close()


class _Undone(Exception):
    """A transaction was taken back, through nobody's fault."""

    def __init__(self, error: DBAPIError) -> None:
        super().__init__(str(error))
        self.error, self.lost = error, error.connection_invalidated


def sqlstate(error: DBAPIError) -> str | None:
    """Returns the code that the server gave an error."""
    state: str | None = getattr(error.orig, "sqlstate", None)
    return state
