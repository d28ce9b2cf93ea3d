"""Shows how far batches are: as bars on a terminal, as lines elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn


class Watched(Protocol):
    """Takes in how far one batch is."""

    def update(self, done: int, progress: float) -> None:
        """Notes the number of final jobs, and the sum of all jobs' progress in jobs."""


@contextmanager
def watched(console: Console, title: str, jobs: int) -> Iterator[Watched]:
    """Shows the progress of a batch while the body runs."""
    if console.is_terminal:
        with Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[jobs]}"),
            TimeElapsedColumn(),
            console=console,
        ) as progress:
            yield _Bar(progress, title, jobs)
    else:
        console.print(f"{title}: {jobs} jobs")
        yield _Lines(console, title, jobs)


class _Bar:
    def __init__(self, progress: Progress, title: str, jobs: int) -> None:
        self._progress, self._jobs = progress, jobs
        self._task = progress.add_task(title, total=jobs, jobs=f"0/{jobs} jobs")

    def update(self, done: int, progress: float) -> None:
        """Moves the bar."""
        self._progress.update(self._task, completed=progress, jobs=f"{done}/{self._jobs} jobs")


class _Lines:
    def __init__(self, console: Console, title: str, jobs: int) -> None:
        self._console, self._title, self._jobs = console, title, jobs
        self._done = 0

    def update(self, done: int, progress: float) -> None:
        """Prints a line when more jobs are done than at the last line."""
        if done > self._done:
            self._done = done
            self._console.print(f"{self._title}: {done}/{self._jobs} jobs done")
