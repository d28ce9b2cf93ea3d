"""Tells those who watch a batch that it has changed."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from tweezer.rpc.errors import Unavailable


class BatchChanges:
    """Carries word of changes from where they are made to where they are waited for."""

    def __init__(self, also: Callable[[], None] = lambda: None) -> None:
        """`also` is called at each change, whoever watches."""
        self._also = also
        self._watchers: defaultdict[str, set[Watcher]] = defaultdict(set)
        self._closed = False

    @contextmanager
    def watch(self, batch_id: str) -> Iterator["Watcher"]:
        """Gives a watcher that hears of every change from now on."""
        watcher = Watcher()
        if self._closed:
            watcher.end()
        self._watchers[batch_id].add(watcher)
        try:
            yield watcher
        finally:
            self._watchers[batch_id].discard(watcher)
            if not self._watchers[batch_id]:
                del self._watchers[batch_id]

    def announce(self, batch_ids: Iterable[str]) -> None:
        """Wakes those who watch these batches, and whoever else works on changes."""
        self.hear(batch_ids)
        self._also()

    def hear(self, batch_ids: Iterable[str]) -> None:
        """Wakes those who watch these batches, of a change that another replica has made."""
        for batch_id in batch_ids:
            for watcher in self._watchers.get(batch_id, ()):
                watcher.wake()

    def look_again(self) -> None:
        """Wakes all who watch: there may be changes that nobody told of."""
        self.hear(list(self._watchers))

    def close(self) -> None:
        """Ends all watching: the service stops, and open streams would hold it up."""
        self._closed = True
        for watchers in self._watchers.values():
            for watcher in watchers:
                watcher.end()

    @property
    def watched(self) -> int:
        """Number of batches that somebody watches."""
        return len(self._watchers)


class Watcher:
    """One who watches a batch."""

    def __init__(self) -> None:
        self._changed, self._ended = asyncio.Event(), False

    def wake(self) -> None:
        """Says that the batch has changed."""
        self._changed.set()

    def end(self) -> None:
        """Says that there will be no more word."""
        self._ended = True
        self._changed.set()

    def seen(self) -> None:
        """Records that the batch is about to be read; changes from now on count anew."""
        self._changed.clear()

    async def next_change(self, at_most_s: float) -> None:
        """Waits for a change, or for so long; raises Unavailable at the end of the service."""
        try:
            async with asyncio.timeout(at_most_s):
                if not self._ended:
                    await self._changed.wait()
        except TimeoutError:
            return
        if self._ended:
            raise Unavailable("the service is stopping: watch again in a moment")
