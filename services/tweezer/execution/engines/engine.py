"""What every engine does, whatever runs the workers."""

from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

from tweezer.execution.emulators.task import Task


class WorkerLost(Exception):
    """The process that ran a task ended by itself; the text says how, in one sentence.

    The task may succeed when it is tried again.
    """


class EngineError(Exception):
    """The engine cannot run tasks; the text is for the operator."""


class Engine(Protocol):
    """Runs tasks in other processes. Used as an async context manager."""

    @property
    def capacity(self) -> int:
        """How many tasks run at the same time; more wait, first come first served."""
        ...

    async def run(self, task: Task, on_progress: Callable[[int], None]) -> bytes:
        """Runs a task and returns its result file.

        `on_progress` gets 0 when a worker begins with the task, then rising percentages.
        Cancelling the call stops the task at once, and nothing else.

        Raises:
            JobError: The job is wrong.
            WorkerLost: The process that ran it died.
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
        ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Closes the engine."""
        ...
