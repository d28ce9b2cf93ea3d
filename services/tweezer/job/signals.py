"""How the parts of the process wake each other, instead of looking again and again."""

import asyncio
from collections.abc import Callable, Coroutine
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


class Signals:
    """What the parts of the process tell each other."""

    def __init__(self, clock: Clock) -> None:
        self.jobs_ready = Pulse()  #: there may be something to lease
        self.progress = asyncio.Event()  #: there is something to report
        self.lease_end = Alarm(clock)  #: when to look for leases that ran out
        self.addition_check = Alarm(clock)  #: when to ask about held additions


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
