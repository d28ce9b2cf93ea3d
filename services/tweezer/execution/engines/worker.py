"""What runs in a worker process of the local engine."""

import os
import pickle  # nosec B403 # between the engine and the worker that it has started
import signal
import socket
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from multiprocessing import parent_process
from multiprocessing.connection import wait
from pathlib import Path
from typing import Final

import orjson

from tweezer.execution.emulators.refusal import one_line
from tweezer.execution.emulators.registry import Emulator, load_emulator
from tweezer.execution.emulators.task import JobError, Task
from tweezer.execution.engines.frames import Kind, encode_header, receive_blocking
from tweezer.process.worker_environment import confine

#: Longest frame a worker takes, in bytes: a task, with its sequence.
MAX_TASK_BYTES: Final = 2**30

#: Where the kernel takes who is to die first when memory runs out.
_OOM_SCORE: Final = Path("/proc/self/oom_score_adj")


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What a worker is told when it starts."""

    emulators: Mapping[str, str]
    """`module:function` of each device type it serves."""
    max_memory_bytes: int | None
    """Memory it may allocate; None for no limit."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """How a worker says that a task failed."""

    reason: str
    """One sentence for the author of the job."""
    details: str
    """The traceback, for the operator; empty where it would say no more than the reason."""
    expected: bool
    """False for what looks like a defect of the emulator, or of ours."""
    worker_spent: bool = False
    """Whether the task may succeed in another worker, which this one can no longer be."""


def serve(channel: socket.socket, settings: WorkerSettings) -> None:
    """Runs tasks, one after the other, until the engine closes the channel."""
    _settle(settings.max_memory_bytes)
    emulators = {device: load_emulator(name) for device, name in settings.emulators.items()}
    _seed()
    # An engine that is gone, also in the middle of a frame, wants nothing any more.
    with suppress(BrokenPipeError, ConnectionResetError):
        _send(channel, Kind.READY, b"")
        _take_tasks(channel, emulators)


def _take_tasks(channel: socket.socket, emulators: Mapping[str, Emulator]) -> None:
    stream = channel.makefile("rb")
    while (frame := receive_blocking(stream, MAX_TASK_BYTES)) is not None:
        report = _Progress(channel)
        report(0)
        # The engine has pickled it, of texts and numbers.
        task: Task = pickle.loads(frame[1])  # nosec B301
        _send(channel, *_answer(emulators, task, report))


def _settle(max_memory_bytes: int | None) -> None:
    # Ctrl-C reaches every process of the terminal; when to stop is the service's decision.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _die_with_parent()
    confine()
    # Pulser's advice is for people at a prompt. Some of it is shown whatever the filters say.
    warnings.simplefilter("ignore")
    warnings.showwarning = _say_nothing
    # Without memory left, a worker should go rather than the service or a database. Where the
    # kernel has no such preference, or does not let us have one, nothing is lost.
    with suppress(OSError):
        _OOM_SCORE.write_text("1000")
    if max_memory_bytes is not None:
        _limit_memory(max_memory_bytes)


def _die_with_parent() -> None:
    parent = parent_process()
    if parent is None:
        return
    threading.Thread(target=_wait_for_end_of, args=(parent.sentinel,), daemon=True).start()
    # The thread does not get to run while one call into C holds the interpreter, or while the
    # process is stopped. Where it can, the kernel kills the process when the pipe from the parent
    # closes, whatever it is doing.
    if sys.platform == "linux":
        import fcntl

        fcntl.fcntl(parent.sentinel, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(parent.sentinel, fcntl.F_SETSIG, signal.SIGKILL)
        flags = fcntl.fcntl(parent.sentinel, fcntl.F_GETFL)
        fcntl.fcntl(parent.sentinel, fcntl.F_SETFL, flags | os.O_ASYNC)


def _wait_for_end_of(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


def _say_nothing(*_: object, **__: object) -> None:
    pass


def _limit_memory(max_bytes: int) -> None:
    # Not on every platform, hence not at the top.
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    soft = max_bytes if hard == resource.RLIM_INFINITY else min(max_bytes, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _seed() -> None:
    # Workers are forked from a process that has imported numpy, and so with the state of its
    # global generator: without this, all of them would draw the same shots.
    if (numpy := sys.modules.get("numpy")) is not None:
        numpy.random.seed()


def _answer(
    emulators: Mapping[str, Emulator], task: Task, report: Callable[[int], None]
) -> tuple[Kind, bytes]:
    try:
        if task.device_type not in emulators:
            raise JobError(f"There is no emulator for the device type {task.device_type}.")
        return Kind.RESULT, emulators[task.device_type](task, report)
    except JobError as error:
        refusal = Refusal(
            str(error), "" if error.__cause__ is None else traceback.format_exc(), True
        )
    except MemoryError:
        # Not the last word: part of the memory may be what earlier tasks have left behind.
        reason = "The emulation ran out of memory: use fewer atoms or evaluation times."
        refusal = Refusal(reason, traceback.format_exc(), True, worker_spent=True)
    except Exception as error:  # noqa: BLE001 - one task's error must not end the worker
        reason = f"The emulation failed: {type(error).__name__}: {one_line(error)}"
        refusal = Refusal(reason, traceback.format_exc(), False)
    return Kind.REFUSED, orjson.dumps(asdict(refusal))


class _Progress:
    """Tells the engine how far a task is, when it changes."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel, self._last = channel, -1

    def __call__(self, percentage: int) -> None:
        if percentage > self._last:
            self._last = percentage
            _send(self._channel, Kind.PROGRESS, bytes([min(percentage, 100)]))


def _send(channel: socket.socket, kind: Kind, payload: bytes) -> None:
    channel.sendall(encode_header(kind, len(payload)))
    channel.sendall(payload)
