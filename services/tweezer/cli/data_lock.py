"""Keeps a second `tweezer up` off a data folder.

The lock is a `flock`: it goes with the last process that holds the open file. The processes of a
stack inherit that file, so a folder stays locked until all of them are gone, also after a kill -9
of the command that started them.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tweezer.cli.failure import Failure

#: How long to wait for the processes of a stack whose supervisor is dead, in seconds.
PATIENCE: Final = 30.0

_RETRY: Final = 0.05


class DataFolderBusy(Failure):
    """Another `tweezer up` uses the data folder."""


@contextmanager
def hold(data_dir: Path, patience: float = PATIENCE) -> Iterator[int]:
    """Locks the folder for the body and yields the descriptor that child processes inherit."""
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(_path(data_dir), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _lock(descriptor, data_dir, time.monotonic() + patience)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        try:
            yield descriptor
        finally:
            os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def is_held(data_dir: Path) -> bool:
    """Tells whether a stack runs on the folder."""
    try:
        descriptor = os.open(_path(data_dir), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        # Shared: two that ask at once do not see each other as a running stack.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _path(data_dir: Path) -> Path:
    return data_dir / "tweezer.lock"


def _lock(descriptor: int, data_dir: Path, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(descriptor)
            if holder is not None and _alive(holder):
                raise DataFolderBusy(
                    f"another `tweezer up` (process {holder}) uses {data_dir}:"
                    " stop it first, or choose another folder with --data-dir"
                ) from None
            if time.monotonic() > deadline:
                raise DataFolderBusy(
                    f"processes of an earlier `tweezer up` still use {data_dir}"
                ) from None
            # They are stopping, or somebody is just asking `is_held`: a flock that can be given
            # up after a while has to be asked for again.
            time.sleep(_RETRY)
        else:
            return


def _holder(descriptor: int) -> int | None:
    text = os.pread(descriptor, 32, 0).decode("ascii", "replace")
    return int(text) if text.isdigit() else None


def _alive(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
