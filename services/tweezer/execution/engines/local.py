"""The local engine: a pool of worker processes on this machine.

It is ours because the pools of the standard library and of pebble cannot stop one task, prefer the
worker that already knows a sequence, or pass on progress.
"""

import asyncio
import os
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import structlog

from tweezer.execution.emulators.registry import EMULATORS
from tweezer.execution.emulators.task import Task
from tweezer.execution.engines.engine import Engine, EngineError, OnPlace, OnProgress, WorkerLost
from tweezer.execution.engines.fork_origin import begin_imports, worker_context
from tweezer.execution.engines.place import Place
from tweezer.execution.engines.worker import WorkerSettings
from tweezer.execution.engines.worker_process import NotBegun, WorkerProcess

log = structlog.get_logger(__name__)

#: Waits between attempts to replace a worker, in seconds; the last one repeats.
_RESTART_WAITS: Final = (0.1, 1.0, 5.0, 30.0)

#: How many workers may die before one begins with a task.
_MAX_BEGINNINGS: Final = 5


class LocalEngine(Engine):
    """Runs tasks in worker processes of this machine.

    Each worker has a slot: a loop that starts it, and starts another one when it dies.
    """

    def __init__(
        self,
        workers: int,
        *,
        max_memory_bytes: int | None = None,
        emulators: Mapping[str, str] = EMULATORS,
        threads: int = 1,
    ) -> None:
        self._workers, self._threads = workers, threads
        # Workers are processes of this machine: they are where this process is.
        self._place = Place.of(os.environ)
        self._settings = WorkerSettings(dict(emulators), max_memory_bytes)
        self._context = worker_context()
        # See WorkerProcess.start: one thread on purpose.
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="worker-processes")
        self._alive: set[WorkerProcess] = set()
        self._idle: list[WorkerProcess] = []
        self._waiting: deque[asyncio.Future[WorkerProcess]] = deque()
        self._slots: list[asyncio.Task[None]] = []
        self._failure: EngineError | None = None

    @property
    def capacity(self) -> int:
        """How many tasks run at the same time."""
        return self._workers

    def watch_capacity(self, on_change: Callable[[], None]) -> None:
        """Does nothing: the number of workers is fixed."""

    @property
    def pids(self) -> frozenset[int]:
        """Identifiers of the worker processes that run tasks or could."""
        return frozenset(worker.pid for worker in self._alive if worker.usable and worker.pid)

    async def start(self) -> None:
        """Starts the workers and waits until all take tasks.

        Raises:
            EngineError: A worker could not be started.
        """
        begin_imports(self._settings.emulators, self._threads)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._workers):
                    group.create_task(self._start_worker())
        except* EngineError as errors:
            await self.close()
            raise errors.exceptions[0] from None
        self._slots = [
            asyncio.create_task(self._keep(worker), name=f"slot {number}")
            for number, worker in enumerate(self._alive)
        ]
        for slot in self._slots:
            slot.add_done_callback(self._slot_ended)

    async def close(self) -> None:
        """Kills the workers and waits until they are gone."""
        self._fail(EngineError("The engine is closed."))
        for slot in self._slots:
            slot.cancel()
        await asyncio.gather(*self._slots, return_exceptions=True)
        dying = list(self._alive)
        for worker in dying:
            worker.kill()
        await asyncio.gather(*(worker.wait_ended() for worker in dying))
        self._alive.clear()
        self._idle.clear()
        self._executor.shutdown(wait=False)

    async def run(
        self, task: Task, on_progress: OnProgress, on_place: OnPlace | None = None
    ) -> bytes:
        """Runs a task and returns its result file; see `Engine.run`."""
        if on_place is not None:
            on_place(self._place)
        for _ in range(_MAX_BEGINNINGS):
            worker = await self._take_worker(task.sequence_hash)
            try:
                result = await worker.run(task, on_progress)
            except NotBegun:
                # It had died while it was idle, which is not the task's affair.
                continue
            except (asyncio.CancelledError, WorkerLost):
                # Killed, or dead already: its slot starts another one.
                raise
            except BaseException:
                self._give_back(worker)
                raise
            self._give_back(worker)
            return result
        raise WorkerLost("The worker processes die before they begin with the job.")

    async def _start_worker(self) -> WorkerProcess:
        worker = await WorkerProcess.start(self._context, self._settings, self._executor)
        self._alive.add(worker)
        self._give_back(worker)
        return worker

    async def _keep(self, worker: WorkerProcess) -> None:
        while True:
            cause = await worker.wait_ended()
            self._alive.discard(worker)
            if worker in self._idle:
                self._idle.remove(worker)
                log.warning("an idle worker process died", cause=cause)
            worker = await self._replace()

    async def _replace(self) -> WorkerProcess:
        attempt = 0
        while True:
            try:
                return await self._start_worker()
            except EngineError as error:
                wait = _RESTART_WAITS[min(attempt, len(_RESTART_WAITS) - 1)]
                log.error("no new worker process", error=str(error), next_attempt_in_s=wait)
                attempt += 1
                await asyncio.sleep(wait)

    def _slot_ended(self, slot: asyncio.Task[None]) -> None:
        if not slot.cancelled() and (error := slot.exception()) is not None:
            log.error("the engine lost a slot", exc_info=error)
            self._fail(EngineError(f"The engine is broken: {error!r}."))

    def _fail(self, error: EngineError) -> None:
        """Refuses all tasks from now on."""
        self._failure = error
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_exception(error)
        self._waiting.clear()

    async def _take_worker(self, sequence_hash: str) -> WorkerProcess:
        if self._failure is not None:
            raise self._failure
        if self._idle:
            knowing = (worker for worker in self._idle if worker.knows(sequence_hash))
            worker = next(knowing, self._idle[0])
            self._idle.remove(worker)
            return worker
        waiting: asyncio.Future[WorkerProcess] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        try:
            return await waiting
        except asyncio.CancelledError:
            if waiting.done() and not waiting.cancelled() and waiting.exception() is None:
                self._give_back(waiting.result())
            raise

    def _give_back(self, worker: WorkerProcess) -> None:
        if not worker.usable:
            return
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(worker)
                return
        self._idle.append(worker)
