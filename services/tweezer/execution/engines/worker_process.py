"""One worker process of the local engine, as the engine sees it."""

import asyncio
import pickle  # nosec B403 # only to write, for the worker
import signal
import socket
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from types import ModuleType
from typing import Final, Self

import orjson
import structlog

from tweezer.execution.emulators.task import JobError, Task
from tweezer.execution.engines import worker
from tweezer.execution.engines.engine import EngineError, WorkerLost
from tweezer.execution.engines.fork_origin import WorkerContext
from tweezer.execution.engines.frames import Kind, ProtocolError, encode_header, receive
from tweezer.execution.engines.worker import Refusal, WorkerSettings
from tweezer.process.worker_environment import only_worker_environment

log = structlog.get_logger(__name__)

#: Sequences a worker is assumed to remember; no more than its emulators keep.
_REMEMBERED: Final = 32

#: Room in a frame beside the result file.
_FRAME_MARGIN: Final = 64 * 1024


class NotBegun(Exception):
    """The process died before it began with the task."""


class WorkerProcess:
    """A worker process and the socket to it. It runs one task at a time.

    Frames are read as they come, through the event loop. The end of the socket is the death of the
    process, however it died: the kernel closes it.
    """

    def __init__(
        self,
        process: BaseProcess,
        executor: Executor,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._process, self._executor = process, executor
        self._reader, self._writer = reader, writer
        self._known: OrderedDict[str, None] = OrderedDict()
        self._max_frame = _FRAME_MARGIN
        self._answer: asyncio.Future[bytes] | None = None
        self._on_progress: Callable[[int], None] = _ignore
        self._begun = False
        self._ready = asyncio.Event()
        self._usable = True
        self._end = asyncio.create_task(self._read(), name=f"worker {process.pid}")

    @classmethod
    async def start(
        cls, context: WorkerContext, settings: WorkerSettings, executor: Executor
    ) -> Self:
        """Starts a process and waits until it takes tasks.

        All calls about processes go through `executor`, which has one thread: multiprocessing
        polls all known children in many of them, and reads an exit code only once.

        Raises:
            EngineError: The process could not be started, or died before it was ready.
        """
        try:
            ours, theirs = socket.socketpair()
        except OSError as error:
            raise EngineError(f"A worker process could not be started: {error}.") from error
        process = context.Process(
            target=worker.serve, args=(theirs, settings), name="tweezer-worker", daemon=True
        )
        launch = executor.submit(_launch, process)
        launch.add_done_callback(lambda _: theirs.close())
        try:
            await asyncio.wrap_future(launch)
            reader, writer = await asyncio.open_connection(sock=ours)
        except BaseException as error:
            # A process that starts all the same finds the channel closed, and ends.
            ours.close()
            if isinstance(error, OSError | EOFError):
                raise EngineError(f"A worker process could not be started: {error}.") from error
            raise
        self = cls(process, executor, reader, writer)
        try:
            await self._wait_until_ready()
        except BaseException:
            self.kill()
            await asyncio.wait([self._end])
            raise
        return self

    @property
    def pid(self) -> int | None:
        """Identifier of the process."""
        return self._process.pid

    @property
    def usable(self) -> bool:
        """False once the process is known to be dead or dying."""
        return self._usable

    def knows(self, sequence_hash: str) -> bool:
        """Tells whether the worker has run this sequence and still remembers it."""
        return sequence_hash in self._known

    async def run(self, task: Task, on_progress: Callable[[int], None]) -> bytes:
        """Runs a task; a cancelled call kills the process.

        Raises:
            JobError: The job is wrong.
            WorkerLost: The process died.
            NotBegun: It died before it began.
        """
        if not self._usable:
            raise NotBegun
        self._remember(task.sequence_hash)
        self._max_frame = task.limits.max_result_bytes + _FRAME_MARGIN
        self._on_progress, self._begun = on_progress, False
        self._answer = asyncio.get_running_loop().create_future()
        # Never more than one task per worker, so what waits in the buffer is bounded.
        content = pickle.dumps(task, pickle.HIGHEST_PROTOCOL)
        self._writer.write(encode_header(Kind.TASK, len(content)) + content)
        try:
            return await self._answer
        except asyncio.CancelledError:
            self.kill()
            raise
        finally:
            self._answer, self._on_progress = None, _ignore

    def kill(self) -> None:
        """Ends the process at once, even in the middle of a long computation."""
        if self._usable:
            self._usable = False
            self._process.kill()

    async def wait_ended(self) -> str:
        """Waits until the process is dead and returns how it died, in one sentence."""
        return await asyncio.shield(self._end)

    async def _wait_until_ready(self) -> None:
        ready = asyncio.create_task(self._ready.wait())
        await asyncio.wait([ready, self._end], return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if self._end.done():
            raise EngineError(f"A worker process could not start. {self._end.result()}")

    async def _read(self) -> str:
        """Follows what the worker says until it is dead."""
        try:
            while (frame := await receive(self._reader, self._max_frame)) is not None:
                self._take(*frame)
        except ProtocolError as error:
            log.error("a worker process does not keep to the protocol", error=str(error))
            self.kill()
        self._usable = False
        code = await asyncio.wrap_future(self._executor.submit(_reap, self._process))
        self._writer.close()
        cause = describe_exit(code)
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(WorkerLost(cause) if self._begun else NotBegun(cause))
        return cause

    def _take(self, kind: Kind, payload: bytes) -> None:
        if not self._usable:
            return  # killed, and it said one thing more before
        if kind is Kind.READY:
            self._ready.set()
        elif kind is Kind.PROGRESS:
            self._begun = True
            self._on_progress(payload[0])
        elif self._answer is None or self._answer.done():
            raise ProtocolError(f"it sent {kind.name} without a task")
        elif kind is Kind.RESULT:
            self._answer.set_result(payload)
        else:
            self._take_refusal(Refusal(**orjson.loads(payload)))

    def _take_refusal(self, refusal: Refusal) -> None:
        assert self._answer is not None
        if refusal.expected:
            log.debug("a job was refused", reason=refusal.reason, details=refusal.details)
        else:
            log.error("an emulator failed", reason=refusal.reason, details=refusal.details)
        if refusal.worker_spent:
            self.kill()
            self._answer.set_exception(WorkerLost(refusal.reason))
        else:
            self._answer.set_exception(JobError(refusal.reason))

    def _remember(self, sequence_hash: str) -> None:
        self._known[sequence_hash] = None
        self._known.move_to_end(sequence_hash)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)


def describe_exit(code: int | None) -> str:
    """Returns one sentence about the exit code of a worker process that should not have ended."""
    if code is None or code >= 0:
        return f"The worker process ended unexpectedly with the exit code {code}."
    if -code == signal.SIGKILL:
        return "The worker process was killed by the system, most likely because memory ran out."
    name = next((number.name for number in signal.Signals if number == -code), f"signal {-code}")
    return f"The worker process crashed ({name})."


def _ignore(_: int) -> None:
    pass


def _launch(process: BaseProcess) -> None:
    with _without_main_module(), only_worker_environment():
        process.start()


def _reap(process: BaseProcess) -> int | None:
    # The process has closed its end of the channel, so it is exiting; the join is short.
    process.join()
    return process.exitcode


@contextmanager
def _without_main_module() -> Iterator[None]:
    """Hides the main module from multiprocessing.

    It would import it in each worker, where a script may define what it pickles. Ours do not, and
    the command line, or a test runner, is slow to import and has no business in a worker.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
