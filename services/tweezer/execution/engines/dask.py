"""The Dask engine: the workers of a Dask scheduler, wherever they are."""

import asyncio
from collections.abc import Callable

import structlog

from tweezer.execution.emulators.task import JobError, Task
from tweezer.execution.engines.dask_link import Connect, DaskJobs, DaskLink
from tweezer.execution.engines.engine import (
    Engine,
    EngineAway,
    EngineError,
    OnPlace,
    OnProgress,
    WorkerLost,
)
from tweezer.execution.engines.worker_process import NotBegun
from tweezer.process.backoff import Backoff

log = structlog.get_logger(__name__)

#: How many workers may be lost before one begins with a task.
_MAX_BEGINNINGS = 5


class DaskEngine(Engine):
    """Runs tasks on Dask, and connects again when the scheduler was away.

    Dask decides which worker runs what. It does not decide how often a job is tried: what goes down
    with its worker comes back to the job service, whatever the scheduler's configuration says.
    """

    def __init__(
        self, connect: Connect, jobs: DaskJobs, *, name: str, expects_workers: bool = True
    ) -> None:
        self._connect, self._jobs, self._name = connect, jobs, name
        self._expects_workers = expects_workers
        self._link: DaskLink | None = None
        self._watchers: list[Callable[[], None]] = []
        self._keeping: asyncio.Task[None] | None = None

    @property
    def capacity(self) -> int:
        """How many workers are ready."""
        return 0 if self._link is None else self._link.workers

    @property
    def tasks(self) -> int:
        """How many tasks run or wait."""
        return 0 if self._link is None else self._link.tasks

    def watch_capacity(self, on_change: Callable[[], None]) -> None:
        """Has `on_change` called whenever a worker comes or goes."""
        self._watchers.append(on_change)

    async def start(self) -> None:
        """Connects to the scheduler and makes its workers ready.

        Raises:
            EngineError: It does not answer.
        """
        try:
            self._link = await self._open()
        except (EngineAway, OSError, TimeoutError) as error:
            raise EngineError(f"There is no Dask scheduler at {self._name}: {error}") from error
        if self._expects_workers and self._link.workers == 0:
            log.warning("the Dask scheduler has no workers yet", scheduler=self._name)
        self._keeping = asyncio.create_task(self._keep(self._link), name="dask scheduler")

    async def close(self) -> None:
        """Gives up all tasks and disconnects; Dask's workers go on without us."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
        if self._link is not None:
            link, self._link = self._link, None
            await link.close(EngineAway("The engine is closed."))

    async def run(
        self, task: Task, on_progress: OnProgress, on_place: OnPlace | None = None
    ) -> bytes:
        """Runs a task and returns its result file; see `Engine.run`."""
        for _ in range(_MAX_BEGINNINGS):
            if self._link is None:
                raise EngineAway("There is no connection to the Dask scheduler.")
            try:
                answer = await self._link.run(task, on_progress, on_place)
            except NotBegun:
                # What it went down with was not its affair.
                continue
            if answer.kind == "refused":
                raise JobError(answer.reason)
            if answer.kind != "result":
                raise WorkerLost(answer.reason)
            return answer.result
        raise WorkerLost("The Dask workers are lost before they begin with the job.")

    async def _open(self) -> DaskLink:
        link = DaskLink(await self._connect(), self._jobs, self._changed)
        try:
            await link.open()
        except BaseException:
            await link.close(EngineAway("The connection was given up."))
            raise
        return link

    async def _keep(self, link: DaskLink) -> None:
        """Connects again whenever the scheduler is lost."""
        while True:
            try:
                await link.follow()
            except EngineAway as error:
                log.error("the Dask scheduler is away", scheduler=self._name, cause=str(error))
                # First, so that no more jobs are taken for a scheduler that is not there.
                self._link = None
                self._changed()
                await link.close(error)
            link = self._link = await self._reopen()
            log.warning("the Dask scheduler is back", scheduler=self._name, workers=link.workers)
            self._changed()

    async def _reopen(self) -> DaskLink:
        backoff = Backoff()
        while True:
            try:
                return await self._open()
            except (EngineAway, OSError, TimeoutError) as error:
                wait_s = backoff.wait_s()
                log.warning(
                    "no connection to the Dask scheduler",
                    scheduler=self._name,
                    error=str(error),
                    next_attempt_in_s=round(wait_s, 2),
                )
                await asyncio.sleep(wait_s)

    def _changed(self) -> None:
        for on_change in self._watchers:
            on_change()
