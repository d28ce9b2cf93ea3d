"""Functions that run in worker processes in the place of an emulator."""

import json
import os
import re
import signal
import threading
from collections.abc import Callable
from pathlib import Path

from tweezer.execution.emulators.task import Task

Report = Callable[[int], None]


def environment(task: Task, report: Report) -> bytes:
    """Tells what the worker knows about its surroundings."""
    import warnings

    return json.dumps(
        {
            "environment": dict(os.environ),
            "ignores_interrupt": signal.getsignal(signal.SIGINT) == signal.SIG_IGN,
            "default_terminate": signal.getsignal(signal.SIGTERM) == signal.SIG_DFL,
            "shows_warnings": warnings.showwarning("", UserWarning, "", 1) is not None,
            "modules": [name for name in ("grpc", "pytest") if name in __import__("sys").modules],
            "pid": os.getpid(),
        }
    ).encode()


def sample(task: Task, report: Report) -> bytes:
    """Draws from numpy's global generator, as Pulser does."""
    import numpy

    return json.dumps([os.getpid(), numpy.random.random(4).tolist()]).encode()


def hang(task: Task, report: Report) -> bytes:
    """Never ends."""
    report(1)
    threading.Event().wait()
    raise AssertionError


def crash(task: Task, report: Report) -> bytes:
    """Ends the process with the signal or exit code that stands where the sequence would."""
    report(1)
    if task.sequence.startswith("SIG"):
        os.kill(os.getpid(), getattr(signal, task.sequence))
        threading.Event().wait()
    os._exit(int(task.sequence))


def chatter(task: Task, report: Report) -> bytes:
    """Reports out of order and more than once."""
    for percentage in (0, 5, 5, 3, 50, 50, 500):
        report(percentage)
    return b"{}"


def stuck_in_c(task: Task, report: Report) -> bytes:
    """Spends hours inside one C call that never lets another thread run."""
    report(1)
    re.match(r"(a+)+$", "a" * 60 + "b")
    raise AssertionError


def once(task: Task, report: Report) -> bytes:
    """Never ends the first time; the file that stands where the sequence would names its parent."""
    path = Path(task.sequence)
    if path.exists():
        return b"{}"
    report(1)
    partial = path.with_suffix(".partial")
    partial.write_text(str(os.getppid()))
    partial.rename(path)
    threading.Event().wait()
    raise AssertionError


def allocate(task: Task, report: Report) -> bytes:
    """Takes more memory than any limit allows."""
    return bytes(2**40)


def bug(task: Task, report: Report) -> bytes:
    """Fails in a way that is nobody's fault but ours."""
    raise KeyError("nobody thought of this")
