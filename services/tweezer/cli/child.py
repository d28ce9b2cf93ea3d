"""One process under a supervisor."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

#: How much of the latest output is kept for a message about an early end, in bytes.
_TAIL: Final = 4000

#: How long output may still come after the process and its group are gone, in seconds.
_OUTPUT_GRACE: Final = 2.0

Echo = Callable[[bytes], None]


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """What to run."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    ready: Callable[[], Awaitable[None]]
    """Returns when the process serves."""
    after: str | None = None
    """A process that is to serve before this one is started."""


class Child:
    """A started process.

    Its standard input is a pipe whose other end only this process holds: when this process dies,
    by whatever cause, the pipe closes and the child stops. It leads a session of its own, so that
    Ctrl-C in the terminal reaches the supervisor alone, and so that what the child has started
    can be killed with it.
    """

    def __init__(
        self, process: asyncio.subprocess.Process, lifeline: int, output: "_Output"
    ) -> None:
        self._process, self._lifeline, self._output = process, lifeline, output
        self._end = asyncio.create_task(self._see_end())

    @classmethod
    async def start(cls, spec: ProcessSpec, inherited: Sequence[int], echo: Echo) -> "Child":
        """Starts the process; it also gets the inherited descriptors."""
        # The pipes are made here and not by asyncio, whose `wait` also waits, in some versions
        # of Python, for everybody who holds an end of its own pipes.
        child_input, lifeline = os.pipe()
        output, child_output = await _Output.open(echo)
        try:
            process = await asyncio.create_subprocess_exec(
                *spec.command,
                env=dict(spec.environment),
                stdin=child_input,
                stdout=child_output,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
                pass_fds=tuple(inherited),
            )
        except BaseException:
            os.close(lifeline)
            output.close()
            raise
        finally:
            os.close(child_input)
            os.close(child_output)
        return cls(process, lifeline, output)

    @property
    def last_words(self) -> str:
        """The end of what the process has written."""
        return self._output.tail.decode(errors="replace").strip()

    @property
    def running(self) -> bool:
        """Whether the process or its clean-up still goes on."""
        return not self._end.done()

    async def ended(self) -> int:
        """Waits for the end of the process and returns its exit code, negative for a signal."""
        return await asyncio.shield(self._end)

    def terminate(self) -> None:
        """Asks the process to stop."""
        with suppress(ProcessLookupError):
            self._process.terminate()

    def kill(self) -> None:
        """Ends the process and whatever it has started."""
        with suppress(ProcessLookupError):  # nothing is left of them
            os.killpg(self._process.pid, signal.SIGKILL)

    async def _see_end(self) -> int:
        code = await self._process.wait()
        self.kill()  # a process that died by force may have left workers behind
        os.close(self._lifeline)
        await self._output.drain()
        return code


class _Output(asyncio.Protocol):
    """What a process writes: passed on at once, and the end of it kept."""

    def __init__(self, echo: Echo) -> None:
        self.tail = b""
        self._echo = echo
        self._transport: asyncio.BaseTransport | None = None
        self._closed = asyncio.Event()

    @classmethod
    async def open(cls, echo: Echo) -> tuple["_Output", int]:
        """Returns the output and the descriptor that the process writes to."""
        reading, writing = os.pipe()
        output = cls(echo)
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: output, os.fdopen(reading, "rb", 0))
        return output, writing

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remembers the pipe."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Takes what the process has written."""
        self.tail = (self.tail + data)[-_TAIL:]
        self._echo(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody holds the other end any more."""
        self._closed.set()

    def close(self) -> None:
        """Stops listening."""
        if self._transport is not None:
            self._transport.close()

    async def drain(self) -> None:
        """Waits until all is read; not for ever, as a stranger may hold the other end."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._closed.wait(), _OUTPUT_GRACE)
        self.close()
