"""What runs inside a Dask worker: jobs, one at a time, each in a process that can be killed.

The Dask worker only passes jobs on to a worker process of the local engine. A stopped job costs
that process and not the Dask worker, whose connections and programs stay; memory limits, progress
and what is kept between jobs are the same as on the machine of the service.
"""

import asyncio
import multiprocessing
import os
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal

from distributed import Worker, get_worker
from distributed.diagnostics.plugin import WorkerPlugin

from tweezer.execution.emulators.task import JobError, Task
from tweezer.execution.engines.engine import WorkerLost
from tweezer.execution.engines.local import LocalEngine
from tweezer.execution.engines.place import Place
from tweezer.execution.engines.worker import WorkerSettings

#: How long progress is gathered before it is told, in seconds.
_PROGRESS_S: Final = 0.1

#: What of the memory of a Dask worker its jobs may take; the rest is for the Dask worker itself.
_SHARE_OF_MEMORY: Final = 0.9

_PLUGIN: Final = "tweezer"


@dataclass(frozen=True, slots=True)
class Errand:
    """What a Dask worker is told beside the task."""

    key: str
    """Names the task."""
    topic: str
    """Where the engine listens for progress."""
    settings: WorkerSettings
    """How the process is to be that runs the task; without a limit of its memory, the limit of the
    Dask worker counts."""
    threads: int
    """Threads that numerical libraries may use."""


@dataclass(frozen=True, slots=True)
class Answer:
    """How a task ended."""

    kind: Literal["result", "refused", "lost", "stopped"]
    result: bytes = b""
    """The result file."""
    reason: str = ""
    """One sentence, where there is no result."""


def hold(text: str) -> str:
    """Returns the text; as a Dask task, it leaves it with the workers that need it."""
    return text


async def run_job(task: Task, sequence: str, errand: Errand) -> Answer:
    """Runs a task, which comes without its sequence; called by Dask."""
    runner = await _runner_of(get_worker())
    return await runner.run(replace(task, sequence=sequence), errand)


async def prepare(settings: WorkerSettings, threads: int, dask_worker: Worker) -> int:
    """Makes a Dask worker ready, before there is a job; returns how many threads it has."""
    runner = await _runner_of(dask_worker)
    await runner.prepare(settings, threads)
    return int(dask_worker.state.nthreads)


async def _runner_of(worker: Worker) -> "JobRunner":
    runner = worker.plugins.get(_PLUGIN)
    if runner is None:
        runner = JobRunner(worker)
        await worker.plugin_add(runner, _PLUGIN)
    assert isinstance(runner, JobRunner)
    return runner


class JobRunner(WorkerPlugin):  # type: ignore[misc] # Dask is Any here
    """Runs the jobs of one Dask worker.

    It is a plugin to hear when Dask gives up a task: Dask itself lets one that runs run on.
    """

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._turn = asyncio.Lock()
        self._engine: LocalEngine | None = None
        self._made_for: tuple[WorkerSettings, int] | None = None
        self._calls: dict[str, asyncio.Task[bytes]] = {}

    async def prepare(self, settings: WorkerSettings, threads: int) -> None:
        """Starts the process that runs tasks, unless it is busy with one."""
        if not self._turn.locked():
            async with self._turn:
                await self._engine_for(settings, threads)

    async def run(self, task: Task, errand: Errand) -> Answer:
        """Runs a task after those before it."""
        call = asyncio.create_task(self._run_in_turn(task, errand))
        self._calls[errand.key] = call
        try:
            return Answer("result", await call)
        except JobError as error:
            return Answer("refused", reason=str(error))
        except WorkerLost as error:
            return Answer("lost", reason=str(error))
        except asyncio.CancelledError:
            if not call.cancelled():
                call.cancel()
                raise
            return Answer("stopped", reason="Nobody wants the job any more.")
        finally:
            del self._calls[errand.key]

    def transition(self, key: Any, start: str, finish: str, **_: Any) -> None:
        """Stops a task that Dask has given up."""
        if start == "executing" and finish == "released" and key in self._calls:
            self._calls[key].cancel()

    async def teardown(self, worker: Worker) -> None:
        """Ends the process when the Dask worker closes."""
        if self._engine is not None:
            await self._engine.close()

    async def _run_in_turn(self, task: Task, errand: Errand) -> bytes:
        async with self._turn:
            engine = await self._engine_for(errand.settings, errand.threads)
            return await engine.run(task, _ProgressMessages(self._worker, errand))

    async def _engine_for(self, settings: WorkerSettings, threads: int) -> LocalEngine:
        if self._engine is not None and self._made_for == (settings, threads):
            return self._engine
        if self._engine is not None:
            await self._engine.close()
        # A nanny makes its worker a daemon, and multiprocessing lets daemons have no children, lest
        # they be left behind. Ours die with their parent, however it ends.
        multiprocessing.current_process().daemon = False
        self._engine = LocalEngine(
            1,
            max_memory_bytes=settings.max_memory_bytes or self._memory_of_worker(),
            emulators=settings.emulators,
            threads=threads,
        )
        self._made_for = settings, threads
        try:
            await self._engine.start()
        except BaseException:
            self._engine = None
            raise
        return self._engine

    def _memory_of_worker(self) -> int | None:
        limit = self._worker.memory_manager.memory_limit
        return None if not limit else int(_SHARE_OF_MEMORY * limit)


class _ProgressMessages:
    """Tells the engine how far a task is, and where it runs; not more often than it helps."""

    def __init__(self, worker: Worker, errand: Errand) -> None:
        self._worker, self._errand = worker, errand
        self._latest = 0
        self._pending: asyncio.TimerHandle | None = None

    def __call__(self, percentage: int) -> None:
        self._latest = percentage
        if percentage == 0:
            place = asdict(Place.of(os.environ))
            self._send({"worker": self._worker.address, "place": place})
        elif self._pending is None:
            loop = asyncio.get_running_loop()
            self._pending = loop.call_later(_PROGRESS_S, self._send_latest)

    def _send_latest(self) -> None:
        self._pending = None
        self._send({})

    def _send(self, facts: dict[str, Any]) -> None:
        message = {"key": self._errand.key, "progress": self._latest, **facts}
        self._worker.log_event(self._errand.topic, message)
