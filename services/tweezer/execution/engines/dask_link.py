"""A connection to one Dask scheduler, as long as both live."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final

import structlog
from distributed import Client, Future, KilledWorker
from distributed.client import FutureCancelledError

from tweezer.execution.emulators.task import Task
from tweezer.execution.engines.dask_calls import DaskCall, DaskCalls
from tweezer.execution.engines.dask_programs import DaskPrograms
from tweezer.execution.engines.dask_worker import Answer, Errand, prepare, run_job
from tweezer.execution.engines.engine import EngineAway, OnPlace, OnProgress, WorkerLost
from tweezer.execution.engines.worker import WorkerSettings
from tweezer.execution.engines.worker_process import NotBegun

log = structlog.get_logger(__name__)

#: How long the scheduler may be silent before it is asked, in seconds. It tells of workers that
#: come and go; that itself is gone it cannot tell.
_SILENCE_S: Final = 2.0

#: How long an answer of the scheduler may take, in seconds.
_ANSWER_S: Final = 15.0

#: How long a worker may take to import the emulators, in seconds.
_PREPARE_S: Final = 120.0

#: Opens a client of the scheduler; raises OSError or TimeoutError when that is away.
Connect = Callable[[], Awaitable[Client]]


@dataclass(frozen=True, slots=True)
class DaskJobs:
    """What all jobs of an engine ask of Dask."""

    settings: WorkerSettings
    """How the process is to be that runs them."""
    threads: int = 1
    """Threads that numerical libraries may use."""
    resources: dict[str, float] | None = None
    """What a worker must have been started with, and what of it one job takes."""


class DaskLink:
    """Runs tasks on the workers of a scheduler until one of both is gone."""

    def __init__(self, client: Client, jobs: DaskJobs, on_workers: Callable[[], None]) -> None:
        self._client, self._jobs, self._on_workers = client, jobs, on_workers
        self._topic = f"tweezer-{uuid.uuid4().hex}"
        self._programs = DaskPrograms(client)
        self._calls = DaskCalls()
        self._preparing: dict[str, asyncio.Task[None]] = {}
        self._ready: set[str] = set()
        self._cancelling: set[asyncio.Task[None]] = set()
        self._news = asyncio.Event()
        self._cut = False
        self._scheduler_id: str | None = None

    @property
    def workers(self) -> int:
        """How many workers take tasks."""
        return len(self._ready)

    @property
    def tasks(self) -> int:
        """How many tasks run or wait."""
        return len(self._calls)

    async def open(self) -> None:
        """Listens, and makes ready the workers that are there; raises EngineAway."""
        self._client.subscribe_topic(self._topic, self._take_message)
        self._client.subscribe_topic("all", self._take_event)
        await self._look()
        if self._preparing:
            await asyncio.wait(self._preparing.values())

    async def follow(self) -> None:
        """Follows workers as they come and go; raises EngineAway when the scheduler is gone."""
        while True:
            self._news.clear()
            await self._look()
            with suppress(TimeoutError):
                async with asyncio.timeout(_SILENCE_S):
                    await self._news.wait()

    async def run(self, task: Task, on_progress: OnProgress, on_place: OnPlace | None) -> Answer:
        """Runs a task.

        Raises:
            NotBegun: A worker was lost before it began with it.
            WorkerLost: The worker that ran it was lost.
            EngineAway: The scheduler is gone.
        """
        key = f"tweezer-{task.device_type}-{uuid.uuid4().hex}"
        call = DaskCall(on_progress, on_place)
        future = self._submit(key, task)
        answer = asyncio.ensure_future(_answer_of(future))
        self._calls.add(key, call)
        try:
            ends: list[asyncio.Future[Any]] = [answer, call.lost]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if call.lost.done():
                raise call.lost.result()
            return self._read(answer, call)
        finally:
            self._calls.remove(key)
            if answer.done():
                answer.exception()  # so that it does not count as overlooked
            else:
                answer.cancel()
                self._cancel(future)

    async def close(self, error: EngineAway) -> None:
        """Gives up all tasks and the connection."""
        self._calls.all_lost(error)
        for preparing in self._preparing.values():
            preparing.cancel()
        await asyncio.gather(*self._preparing.values(), return_exceptions=True)
        self._ready.clear()
        if self._client.status == "running":
            for topic in (self._topic, "all"):
                self._client.unsubscribe_topic(topic)
        # The scheduler cancels what a client leaves behind.
        with suppress(OSError, TimeoutError):
            await self._client.close(timeout=5)

    def _submit(self, key: str, task: Task) -> Future:
        jobs = self._jobs
        return self._client.submit(
            run_job,
            replace(task, sequence=""),
            self._programs.of(task),
            Errand(key, self._topic, jobs.settings, jobs.threads),
            key=key,
            pure=False,
            retries=0,
            resources=jobs.resources,
        )

    def _read(self, answer: "asyncio.Future[Answer]", call: DaskCall) -> Answer:
        error = answer.exception()
        if error is None:
            return answer.result()
        if isinstance(error, FutureCancelledError):
            # Nobody but us cancels our tasks: the connection was lost, and all of them with it.
            self._cut = True
            self._news.set()
            raise EngineAway("The connection to the Dask scheduler was lost.") from error
        if call.worker is not None:
            raise call.worker_lost() from error
        if isinstance(error, KilledWorker):
            raise NotBegun(str(error)) from error
        log.error("a Dask worker cannot run jobs", error=f"{type(error).__name__}: {error}")
        raise WorkerLost(f"The Dask worker could not begin with the job: {error}") from error

    def _cancel(self, future: Future) -> None:
        if self._client.status != "running":
            return
        cancelling = asyncio.ensure_future(self._client.cancel([future]))
        self._cancelling.add(cancelling)
        cancelling.add_done_callback(self._cancelling.discard)

    async def _look(self) -> None:
        """Asks the scheduler for its workers."""
        try:
            async with asyncio.timeout(_ANSWER_S):
                found = await self._client.scheduler.identity()
        except (OSError, TimeoutError) as error:
            raise EngineAway(f"The Dask scheduler does not answer: {error}.") from error
        if self._scheduler_id is None:
            self._scheduler_id = found["id"]
        if self._cut or self._client.status != "running" or found["id"] != self._scheduler_id:
            raise EngineAway("The connection to the Dask scheduler was lost.")
        self._compare(set(found["workers"]))

    def _compare(self, addresses: set[str]) -> None:
        for address in addresses - self._ready - self._preparing.keys():
            self._preparing[address] = asyncio.create_task(self._prepare(address))
        for address in self._preparing.keys() - addresses:
            self._preparing.pop(address).cancel()
        if self._ready - addresses:
            self._ready &= addresses
            self._on_workers()

    async def _prepare(self, address: str) -> None:
        """Makes a worker ready, so that jobs begin at once and an impossible worker is known."""
        run = self._client.run(
            prepare,
            self._jobs.settings,
            self._jobs.threads,
            workers=[address],
            on_error="return",
        )
        try:
            async with asyncio.timeout(_PREPARE_S):
                answer = (await run).get(address)
        except (OSError, TimeoutError, ValueError) as error:
            answer = error
        if not isinstance(answer, int):
            # It stays here: one that is not asked again is not counted as a worker.
            log.error("a Dask worker cannot run jobs", worker=address, error=repr(answer))
            return
        if answer > 1:
            log.warning(
                "a Dask worker has more than one thread and runs one job at a time all the same; "
                "start it with --nthreads 1",
                worker=address,
                threads=answer,
            )
        del self._preparing[address]
        self._ready.add(address)
        self._on_workers()

    def _take_message(self, event: tuple[float, dict[str, Any]]) -> None:
        self._calls.take(event[1])

    def _take_event(self, event: tuple[float, Any]) -> None:
        message = event[1]
        action = message.get("action") if isinstance(message, dict) else None
        if action == "remove-worker":
            address = message["worker"]
            self._calls.worker_gone(address)
            if address in self._ready:
                self._ready.discard(address)
                self._on_workers()
        if action in ("add-worker", "remove-worker"):
            self._news.set()


async def _answer_of(future: Future) -> Answer:
    answer: Answer = await future
    return answer
