"""Runs a process: signals, background loops, the supervisor's lifeline, the exit code."""

import asyncio
import gc
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager

import structlog

from tweezer.process.logs import configure_logging
from tweezer.process.settings import ProcessSettings

try:
    import uvloop
except ImportError:  # uvloop does not exist for Windows
    uvloop = None  # type: ignore[assignment]

log = structlog.get_logger(__name__)

Serve = Callable[[asyncio.Event], Awaitable[None]]


class StartFailed(Exception):
    """The process cannot start; the text tells an operator what to do."""


class LoopEnded(Exception):
    """A background loop that should run for ever has returned."""


def run_process(name: str, settings: ProcessSettings, serve: Serve) -> int:
    """Runs `serve` until it returns and returns the exit code.

    `serve` gets an event that is set when the process should stop: on SIGINT, on SIGTERM, and,
    where the settings say so, when standard input closes. The collector of garbage, which processes
    turn off while they import, is on afterwards.
    """
    configure_logging(name, settings)
    # What is imported stays for good. The collector need not look at it again and again, nor after
    # every few calls at what they have left.
    gc.freeze()
    gc.set_threshold(5_000, 20, 20)
    gc.enable()
    try:
        loop_factory = asyncio.new_event_loop if uvloop is None else uvloop.new_event_loop
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(_run(settings, serve))
    except StartFailed as error:
        print(f"tweezer {name}: {error}", file=sys.stderr)  # noqa: T201 - for the operator
        return 1
    except BaseExceptionGroup as group:
        started = group.subgroup(StartFailed)
        if started is None:
            log.exception("the process ends because a part of it died")
            return 70
        print(f"tweezer {name}: {_first(started)}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def _run(settings: ProcessSettings, serve: Serve) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    if settings.stop_on_stdin_close:
        await loop.connect_read_pipe(lambda: _Lifeline(stop), sys.stdin)
    await serve(stop)


class _Lifeline(asyncio.Protocol):
    """Asks the process to stop when the other end of the pipe is gone."""

    def __init__(self, stop: asyncio.Event) -> None:
        self._stop = stop

    def connection_lost(self, exc: Exception | None) -> None:
        """The supervisor is gone."""
        self._stop.set()


@asynccontextmanager
async def background(**loops: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Runs loops beside the body and cancels them when it ends.

    A loop that dies takes the body and with it the process down: a process that lives on without
    one of its loops would look well and do nothing.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(_for_ever(name, loop), name=name) for name, loop in loops.items()
            ]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
    finally:
        for loop in loops.values():
            loop.close()  # one that was cancelled before it began would complain otherwise


async def _for_ever(name: str, loop: Coroutine[None, None, None]) -> None:
    await loop
    raise LoopEnded(f"the background loop {name!r} has ended")
