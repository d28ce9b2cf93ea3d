"""Tasks that are with Dask, and what is heard of them."""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

from tweezer.execution.engines.engine import EngineAway, OnPlace, OnProgress, WorkerLost
from tweezer.execution.engines.place import Place


class DaskCall:
    """One submission of a task."""

    def __init__(self, on_progress: OnProgress, on_place: OnPlace | None) -> None:
        self._on_progress, self._on_place = on_progress, on_place
        self._place = Place()
        self.worker: str | None = None
        """Address of the Dask worker that has begun with it."""
        self.lost: asyncio.Future[WorkerLost | EngineAway]
        """Says why the task will not end any more."""
        self.lost = asyncio.get_running_loop().create_future()

    def take(self, message: Mapping[str, Any]) -> None:
        """Takes a message of the worker."""
        if self.lost.done():
            return
        if message["progress"] == 0:
            if self.worker is not None:
                # Dask tries again by itself what went down with a worker, or lost its result with
                # one. How often a job is tried is not for it to decide.
                self.lose(self.worker_lost())
                return
            self.worker, self._place = message["worker"], Place(**message["place"])
            if self._on_place is not None:
                self._on_place(self._place)
        self._on_progress(message["progress"])

    def lose(self, error: WorkerLost | EngineAway) -> None:
        """Takes note that the task will not end any more."""
        if not self.lost.done():
            self.lost.set_result(error)

    def worker_lost(self) -> WorkerLost:
        """Returns the error that says that the worker of the task is gone."""
        job = self._place.slurm_job_id
        what = "Dask worker" if job is None else f"Slurm job {job}"
        return WorkerLost(f"The {what} that ran the job was lost.")


class DaskCalls:
    """All submissions under way, by their keys."""

    def __init__(self) -> None:
        self._calls: dict[str, DaskCall] = {}

    def __len__(self) -> int:
        """How many there are."""
        return len(self._calls)

    def __iter__(self) -> Iterator[DaskCall]:
        """Goes over those that are there now."""
        return iter(list(self._calls.values()))

    def add(self, key: str, call: DaskCall) -> None:
        """Takes a submission."""
        self._calls[key] = call

    def remove(self, key: str) -> None:
        """Drops a submission that is over."""
        del self._calls[key]

    def take(self, message: Mapping[str, Any]) -> None:
        """Passes on a message of a worker; one about a task that is over says nothing any more."""
        call = self._calls.get(message["key"])
        if call is not None:
            call.take(message)

    def worker_gone(self, address: str) -> None:
        """Ends those that a worker had begun with."""
        for call in self:
            if call.worker == address:
                call.lose(call.worker_lost())

    def all_lost(self, error: EngineAway) -> None:
        """Ends all of them."""
        for call in self:
            call.lose(error)
