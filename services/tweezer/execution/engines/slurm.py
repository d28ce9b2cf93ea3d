"""The Slurm engine: Dask workers that come and go as Slurm jobs, as there is work for them."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import structlog

from tweezer.execution.emulators.task import Task
from tweezer.execution.engines.dask import DaskEngine
from tweezer.execution.engines.dask_link import DaskJobs
from tweezer.execution.engines.engine import Engine, OnPlace, OnProgress
from tweezer.execution.engines.idle_since import IdleSince
from tweezer.execution.engines.slurm_pool import SlurmPool, SubmissionFailed
from tweezer.execution.engines.slurm_resources import SlurmOptions, SlurmResources
from tweezer.execution.engines.worker import WorkerSettings
from tweezer.process.backoff import Backoff

log = structlog.get_logger(__name__)

#: Longest time between two looks at workers and work, in seconds.
_INTERVAL_S: Final = 1.0

#: Waits after Slurm has refused a job, in seconds.
_FIRST_WAIT_S: Final = 1.0
_LONGEST_WAIT_S: Final = 60.0

#: How long a submission under way may take when the engine closes, in seconds.
_LAST_STEP_S: Final = 10.0


class SlurmEngine(Engine):
    """Runs tasks on one worker per Slurm job, between a minimum and a maximum of them.

    There are as many workers as tasks in hand, within the bounds. A task in hand is a job that was
    leased, so that a few more are leased than there are workers: they are what is seen of the
    queue. Each of them waits for the worker that is being started for it.
    """

    def __init__(
        self, settings: WorkerSettings, resources: SlurmResources, options: SlurmOptions
    ) -> None:
        self._resources, self._options = resources, options
        self._pool = SlurmPool(resources, options)
        self._dask = DaskEngine(
            self._pool.client,
            DaskJobs(settings, resources.cores),
            name="the Slurm engine",
            expects_workers=False,
        )
        self._wanted, self._closing = asyncio.Event(), asyncio.Event()
        self._idle = IdleSince()
        self._scaling: asyncio.Task[None] | None = None

    @property
    def capacity(self) -> int:
        """Workers that are there, and some that could be."""
        return min(self._dask.capacity + self._options.jobs_ahead, self._resources.max_workers)

    def watch_capacity(self, on_change: Callable[[], None]) -> None:
        """Has `on_change` called whenever a worker comes or goes."""
        self._dask.watch_capacity(on_change)

    async def start(self) -> None:
        """Starts the scheduler; workers come as Slurm starts them.

        Raises:
            EngineError: It could not be started, or Slurm does not answer.
        """
        try:
            await self._pool.start()
            await self._dask.start()
        except BaseException:
            await self.close()
            raise
        self._scaling = asyncio.create_task(self._scale(), name="slurm jobs")

    async def close(self) -> None:
        """Ends all Slurm jobs."""
        self._closing.set()
        self._wanted.set()
        if self._scaling is not None:
            # Not cancelled while it submits: nobody would know of such a job.
            await asyncio.wait([self._scaling], timeout=_LAST_STEP_S)
            self._scaling.cancel()
            await asyncio.gather(self._scaling, return_exceptions=True)
        await self._dask.close()
        await self._pool.close()

    async def run(
        self, task: Task, on_progress: OnProgress, on_place: OnPlace | None = None
    ) -> bytes:
        """Runs a task and returns its result file; see `Engine.run`."""
        self._wanted.set()
        return await self._dask.run(task, on_progress, on_place)

    async def _scale(self) -> None:
        backoff = Backoff(_FIRST_WAIT_S, _LONGEST_WAIT_S)
        while not self._closing.is_set():
            self._wanted.clear()
            try:
                await self._adjust()
            except (SubmissionFailed, OSError, RuntimeError) as error:
                wait_s = backoff.wait_s()
                log.error(
                    "Slurm takes no jobs at present",
                    error=str(error),
                    next_attempt_in_s=round(wait_s, 2),
                )
                await _set_within(self._closing, wait_s)
            else:
                backoff.reset()
                # Without a word, too: workers may have come, ended, or been idle for long enough.
                await _set_within(self._wanted, _INTERVAL_S)

    async def _adjust(self) -> None:
        """Brings the number of workers one step closer to what the work is worth."""
        for name in await self._pool.forget_ended():
            log.warning("a Slurm job ended without being asked to", worker=name)
        wanted = max(self._dask.tasks, self._resources.min_workers)
        wanted = min(wanted, self._resources.max_workers)
        names = self._pool.names
        if wanted > len(names):
            await self._pool.add(wanted - len(names))
        self._idle.update(names - self._pool.busy)
        if wanted < len(names):
            # No more of them than are too many, so that the busy ones keep theirs.
            spare = self._idle.longer_than(self._options.idle_s)[: len(names) - wanted]
            if spare:
                log.info("ends Slurm jobs without work", workers=spare)
                await self._pool.end(spare)


async def _set_within(event: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
