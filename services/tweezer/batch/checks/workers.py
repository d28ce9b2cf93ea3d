"""Keeps the processes that check sequences, and asks them."""

import asyncio
import os
import signal
import subprocess  # nosec B404 # starts our own module, without a shell
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe
from queue import LifoQueue
from typing import Any, Final

import orjson
import structlog

from tweezer.batch.checks.facts import Refused
from tweezer.process.worker_environment import worker_environment
from tweezer.rpc.errors import TooMuch, Unavailable

log = structlog.get_logger(__name__)

#: A check that dies is tried once more: somebody may have killed the process for another reason.
_ATTEMPTS: Final = 2


class WorkerFailed(Exception):
    """A checking process did not start, or failed for a reason that is ours."""


@dataclass(frozen=True, slots=True)
class WorkerLimits:
    """What one check may take."""

    memory_bytes: int
    cpu_s: int


class CheckWorkers:
    """Some checking processes, each with a thread that waits for its answers.

    They are started by `start`, or by the first check if that comes in before, and take a second or
    two to import Pulser; checks wait meanwhile.
    """

    def __init__(self, count: int, limits: WorkerLimits, max_waiting: int) -> None:
        self._workers = [_Worker(limits) for _ in range(count)]
        # Last in, first out: the process that was used last has the most in its caches.
        self._idle: LifoQueue[_Worker] = LifoQueue()
        for worker in self._workers:
            self._idle.put(worker)
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="check")
        self._capacity, self._under_way = count + max_waiting, 0

    def start(self) -> None:
        """Starts the processes, without waiting for them."""
        for worker in self._workers:
            self._threads.submit(worker.start).add_done_callback(_log_failure)

    async def ask(self, check: str, **arguments: Any) -> dict[str, Any]:
        """Returns the outcome of a check, or raises Refused."""
        if self._under_way >= self._capacity:
            raise TooMuch("too many sequences are waiting to be checked: try again in a moment")
        self._under_way += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._threads, self._ask, check, arguments
            )
        finally:
            self._under_way -= 1

    def _ask(self, check: str, arguments: dict[str, Any]) -> dict[str, Any]:
        request = orjson.dumps({"check": check, "arguments": arguments})
        # There is one for each thread: nobody waits here.
        worker = self._idle.get_nowait()
        try:
            answer = orjson.loads(worker.ask(request))
        finally:
            self._idle.put(worker)
        if "refused" in answer:
            raise Refused(answer["refused"])
        if "failed" in answer:
            raise WorkerFailed(answer["failed"])
        accepted: dict[str, Any] = answer["accepted"]
        return accepted

    @property
    def process_ids(self) -> list[int]:
        """The processes that have been started."""
        return [pid for worker in self._workers if (pid := worker.process_id) is not None]

    def close(self) -> None:
        """Ends the processes at once: a check leaves nothing behind."""
        for worker in self._workers:
            worker.close()
        self._threads.shutdown(cancel_futures=True)


def _log_failure(started: "Future[None]") -> None:
    error = None if started.cancelled() else started.exception()
    if error is not None and not isinstance(error, Unavailable):
        log.error("a process that checks sequences did not start", exc_info=error)


class _Worker:
    """One process; used by one thread at a time, closed by any."""

    def __init__(self, limits: WorkerLimits) -> None:
        self._limits = limits
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._lock, self._closed = threading.Lock(), False
        self._in_use = threading.Lock()  # by whoever starts it, or asks it

    @property
    def process_id(self) -> int | None:
        """The process, if it was ever started."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Starts the process unless it runs, and waits until it is ready."""
        with self._in_use:
            self._ensure_started()

    def ask(self, request: bytes) -> bytes:
        """Returns the answer to a request, or raises Refused when the process dies of it."""
        with self._in_use:
            for _ in range(_ATTEMPTS):
                self._ensure_started()
                try:
                    assert self._connection is not None
                    self._connection.send_bytes(request)
                    return self._connection.recv_bytes()
                except (EOFError, OSError):
                    if self._bury() == -signal.SIGXCPU:
                        raise Refused("takes longer to check than a check may take") from None
        raise Refused("could not be checked: the process that did it died")

    def close(self) -> None:
        """Ends the process."""
        with self._lock:
            self._closed = True
            if self._process is not None:
                self._process.kill()
                self._process.wait()

    def _ensure_started(self) -> None:
        if self._connection is not None:
            return
        self._connection = self._spawn()
        try:
            self._connection.recv_bytes()  # READY
        except EOFError:
            code = self._bury()
            raise WorkerFailed(f"it ended with {code} before it was ready") from None

    def _spawn(self) -> Connection:
        with self._lock:
            if self._closed:
                raise Unavailable("the service is stopping")
            ours, theirs = Pipe()
            # Only this process holds `ours`, so the worker ends when this process does, however.
            self._process = subprocess.Popen(  # nosec B603 # nothing of it comes from a client
                [
                    *(sys.executable, "-P", "-m", "tweezer.batch.checks.worker"),
                    *(str(theirs.fileno()), str(self._limits.memory_bytes)),
                    str(self._limits.cpu_s),
                ],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                # One thread is enough for checks; matplotlib must not look for a screen.
                env={
                    **worker_environment(os.environ),
                    "OPENBLAS_NUM_THREADS": "1",
                    "MPLBACKEND": "agg",
                },
            )
            theirs.close()
            return ours

    def _bury(self) -> int:
        assert self._process is not None
        assert self._connection is not None
        self._connection.close()
        self._connection = None
        with self._lock:
            self._process.kill()
            code = self._process.wait()
            if self._closed:
                raise Unavailable("the service is stopping")
            return code
