"""What every engine does, whatever runs the workers."""

from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

from tweezer.execution.emulators.task import Task
from tweezer.execution.engines.place import Place

#: Takes percentages of a task that is under way.
OnProgress = Callable[[int], None]

#: Takes where a task runs, when a worker begins with it.
OnPlace = Callable[[Place], None]


class WorkerLost(Exception):
    """The process that ran a task ended by itself; the text says how, in one sentence.

    The task may succeed when it is tried again.
    """


class EngineAway(Exception):
    """The engine lost its workers all at once, through no fault of a task; the text says how.

    It looks for them again by itself, and has no capacity until it has found them.
    """


class EngineError(Exception):
    """The engine cannot run tasks; the text is for the operator."""


class Engine(Protocol):
    """Runs tasks in other processes. Used as an async context manager, which engines inherit."""

    @property
    def capacity(self) -> int:
        """How many tasks are worth having at the same time; more wait.

        That is one for each worker, and one for each worker that would be started for it.
        """
        ...

    def watch_capacity(self, on_change: Callable[[], None]) -> None:
        """Has `on_change` called whenever the capacity may have changed."""
        ...

    async def run(
        self, task: Task, on_progress: OnProgress, on_place: OnPlace | None = None
    ) -> bytes:
        """Runs a task and returns its result file.

        `on_progress` gets 0 when a worker begins with the task, then rising percentages. Before
        that, `on_place` gets where the worker is, so that it is known whatever becomes of the task.
        Cancelling the call stops the task at once, and nothing else.

        Raises:
            JobError: The job is wrong.
            WorkerLost: The process that ran it died.
            EngineAway: All workers are out of reach.
        """
        ...

    async def start(self) -> None:
        """Makes the engine ready; raises EngineError when that is not possible."""
        ...

    async def close(self) -> None:
        """Ends all processes of the engine. Tasks under way are lost."""
        ...

    async def __aenter__(self) -> Self:
        """Starts the engine."""
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Closes the engine."""
        await self.close()
