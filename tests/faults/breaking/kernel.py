"""What the kernel knows about processes."""

import os
import select
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple


class Entry(NamedTuple):
    """A process of the machine."""

    pid: int
    name: str
    state: str
    parent: int
    session: int


def processes() -> list[Entry]:
    """Returns every process of the machine, dead ones that nobody has waited for included."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                head, _, tail = (folder / "stat").read_text().rpartition(")")
            except (FileNotFoundError, ProcessLookupError):
                continue  # it ended while we looked
            state, parent, _, session = tail.split()[:4]
            name = head.partition("(")[2]
            found.append(Entry(int(folder.name), name, state, int(parent), int(session)))
    return found


def of_sessions(sessions: Iterable[int]) -> list[Entry]:
    """Returns the processes that live in some sessions."""
    wanted = set(sessions)
    return [entry for entry in processes() if entry.session in wanted and entry.state not in "ZX"]


def zombies_of(parents: Iterable[int]) -> list[Entry]:
    """Returns dead processes that some parents have not waited for."""
    wanted = set(parents)
    return [entry for entry in processes() if entry.parent in wanted and entry.state == "Z"]


def workers_of(parent: int) -> list[int]:
    """Returns the worker processes under a process: below its fork server where there is one."""
    table = processes()
    servers = {e.pid for e in table if e.parent == parent and b"forkserver" in _command(e.pid)}
    return sorted(entry.pid for entry in table if entry.parent in servers and entry.state != "Z")


def ends(pid: int, within_s: float) -> bool:
    """Tells whether a process is gone, or goes in time."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        readable, _, _ = select.select([descriptor], [], [], within_s)
        return bool(readable)
    finally:
        os.close(descriptor)


def first_to_end(pids: Iterable[int], within_s: float) -> int | None:
    """Waits until one of some processes of ours has ended; returns it, or None when none does."""
    opened = {os.pidfd_open(pid): pid for pid in pids}
    try:
        ended, _, _ = select.select(list(opened), [], [], within_s)
        return opened[ended[0]] if ended else None
    finally:
        for descriptor in opened:
            os.close(descriptor)


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""
