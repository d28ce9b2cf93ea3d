"""How the parts of the process wake each other, instead of looking again and again."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from tweezer.database.timestamps import Clock

T = TypeVar("T")


class Pulse:
    """Wakes everybody who waits, each time it is sent.

    Take `next()` before looking whether there is something to do: what is sent between the look
    and the wait is then not missed.
    """

    def __init__(self) -> None:
        self._next = asyncio.Event()
        self.closed = False

    def next(self) -> asyncio.Event:
        """Returns the event that the next pulse sets."""
        return self._next

    def send(self) -> None:
        """Wakes everybody."""
        sent, self._next = self._next, asyncio.Event()
        sent.set()

    def close(self) -> None:
        """Wakes everybody for the last time: who sees `closed` should not wait again."""
        self.closed = True
        self.send()


class Watch:
    """Collects the names that are sent, of those that it is for."""

    def __init__(self) -> None:
        self._named: list[str] = []
        self._event = asyncio.Event()
        self._closed = False

    def add(self, name: str) -> None:
        """Takes note of a name."""
        self._named.append(name)
        self._event.set()

    def close(self) -> None:
        """Lets nobody wait any more."""
        self._closed = True
        self._event.set()

    def take(self) -> list[str]:
        """Returns the names sent since the last time."""
        named, self._named = self._named, []
        return named

    async def news(self, until: float) -> bool:
        """Waits for a name until a time of the loop's clock; says whether there is one."""
        if not self._named and not self._closed:
            self._event.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(until):
                    await self._event.wait()
        return bool(self._named)


class Notices:
    """Tells those who wait about the names that they wait for, and nobody else.

    Begin to watch before looking whether there is something to wait for: what is sent between the
    look and the wait is then not missed.
    """

    def __init__(self) -> None:
        self._watches: dict[str, set[Watch]] = {}
        self._closed = False

    @contextmanager
    def watch(self, names: Iterable[str]) -> Iterator[Watch]:
        """Watches names as long as the context lasts."""
        watch, watched = Watch(), set(names)
        if self._closed:
            watch.close()
        for name in watched:
            self._watches.setdefault(name, set()).add(watch)
        try:
            yield watch
        finally:
            for name in watched:
                others = self._watches[name]
                others.remove(watch)
                if not others:
                    del self._watches[name]

    def send(self, names: Iterable[str]) -> None:
        """Tells those who watch the names."""
        for name in names:
            for watch in self._watches.get(name, ()):
                watch.add(name)

    def release(self) -> None:
        """Lets nobody wait any more who waits now: who still wants to know should look again."""
        self.release_those(list(self._watches))

    def release_those(self, names: Iterable[str]) -> None:
        """Lets nobody wait any more who waits now for one of the names."""
        for name in names:
            for watch in self._watches.get(name, ()):
                watch.close()

    def close(self) -> None:
        """Wakes everybody for the last time: nobody waits after that."""
        self._closed = True
        self.release()


class Alarm:
    """Wakes one loop at the earliest of the times that were asked for."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._due: int | None = None
        self._moved = asyncio.Event()

    def clear(self) -> None:
        """Forgets the time; done before the loop looks up the earliest afresh."""
        self._due = None

    def set(self, due: int | None) -> None:
        """Asks for a time, unless an earlier one was asked for; None asks for nothing."""
        if due is not None and (self._due is None or due < self._due):
            self._due = due
            self._moved.set()

    def look(self) -> None:
        """Has the loop look up the earliest time now."""
        self.set(self._clock())

    async def ring(self) -> None:
        """Returns when the time has come."""
        while True:
            self._moved.clear()
            left = None if self._due is None else (self._due - self._clock()) / 1_000_000
            if left is not None and left <= 0:
                return
            try:
                async with asyncio.timeout(left):
                    await self._moved.wait()
            except TimeoutError:
                continue


class Flag(asyncio.Event):
    """An event for one loop, of which another is told as well."""

    def __init__(self) -> None:
        super().__init__()
        #: Called each time it is set.
        self.also: Callable[[], None] = lambda: None

    def set(self) -> None:
        """Wakes both."""
        super().set()
        self.also()


class Signals:
    """What the parts of the process tell each other."""

    def __init__(self, clock: Clock) -> None:
        self.jobs_ready = Pulse()  #: there may be something to lease
        self.intents_applied = Pulse()  #: held jobs may have been released
        self.stops = Notices()  #: leases whose work must stop, by token
        self.ends = Notices()  #: jobs whose lease ended, by identifier
        self.progress = Flag()  #: there is something to report
        self.lease_end = Alarm(clock)  #: when to look for leases that ran out
        self.addition_check = Alarm(clock)  #: when to ask about held additions

    def close(self) -> None:
        """Wakes every call that waits, so that it is answered before the process ends."""
        self.jobs_ready.close()
        self.intents_applied.close()
        self.stops.close()
        self.ends.close()


async def to_the_end(
    work: Coroutine[Any, Any, T], undo: Callable[[T], Coroutine[Any, Any, None]] | None = None
) -> T:
    """Runs `work` to its end even when the caller goes away meanwhile.

    A change that is committed must also be made known. When the caller is cancelled, and so nobody
    takes what `work` returned, `undo` gets it.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        result = await asyncio.shield(task)
        if undo is not None:
            await undo(result)
        raise
