"""Sequences as data of a Dask cluster: each is sent once and not with every job."""

import uuid
from collections import OrderedDict
from typing import Final

from distributed import Client, Future

from tweezer.execution.emulators.task import Task
from tweezer.execution.engines.dask_worker import hold

#: Sequences that stay with the workers, by number and in characters; jobs of a batch come together.
_MOST_KEPT: Final = 32
_MOST_CHARACTERS: Final = 64 * 1024 * 1024


class DaskPrograms:
    """The sequences used last, each as the result of a Dask task that returns it.

    The scheduler gets the text once, hands it to one worker, and the others take it from there when
    they have a job for it. Unlike scattered data it needs no worker to begin with, and is made
    again when its workers are lost. Workers forget a sequence as soon as it is dropped here.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._kept: OrderedDict[str, tuple[Future, int]] = OrderedDict()
        self._characters = 0

    def of(self, task: Task) -> Future:
        """Returns the sequence of a task as Dask knows it."""
        known = self._kept.get(task.sequence_hash)
        if known is not None and known[0].status in ("pending", "finished"):
            self._kept.move_to_end(task.sequence_hash)
            return known[0]
        if known is not None:
            self._drop(task.sequence_hash)
        # A name of its own: what another service sends under the same one might end with it.
        key = f"tweezer-program-{uuid.uuid4().hex}"
        future = self._client.submit(hold, task.sequence, key=key, pure=False)
        self._kept[task.sequence_hash] = future, len(task.sequence)
        self._characters += len(task.sequence)
        while len(self._kept) > 1 and (
            len(self._kept) > _MOST_KEPT or self._characters > _MOST_CHARACTERS
        ):
            self._drop(next(iter(self._kept)))
        return future

    def _drop(self, sequence_hash: str) -> None:
        # Dask releases what no Future stands for; those of jobs under way keep theirs.
        _, characters = self._kept.pop(sequence_hash)
        self._characters -= characters
