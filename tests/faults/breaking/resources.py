"""Takes away what the processes need, and gives it back."""

import resource
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy import URL, NullPool, create_engine

from breaking.server import DatabaseServer


@contextmanager
def locked(database: Path) -> Iterator[None]:
    """Keeps everybody else from writing to a database."""
    with closing(sqlite3.connect(database, isolation_level=None, timeout=30)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        try:
            yield
        finally:
            connection.execute("ROLLBACK")


@contextmanager
def locked_tables(database: URL, *tables: str) -> Iterator[None]:
    """Keeps everybody else from reading and writing some tables on a server."""
    with create_engine(database, poolclass=NullPool).begin() as connection:
        connection.exec_driver_sql(f"LOCK TABLE {', '.join(tables)} IN ACCESS EXCLUSIVE MODE")
        yield


@contextmanager
def stopped(server: DatabaseServer, *, at_once: bool = False) -> Iterator[None]:
    """Stops a server or crashes it, and starts it again."""
    server.stop(at_once=at_once)
    try:
        yield
    finally:
        server.start()


@contextmanager
def gone(database: Path) -> Iterator[None]:
    """Moves the files of a database to where nobody looks for them."""
    names = [database.with_name(database.name + end) for end in ("", "-wal", "-shm")]
    aside = database.with_name("aside")
    aside.mkdir()
    present = [name for name in names if name.exists()]
    for name in present:
        name.rename(aside / name.name)
    try:
        yield
    finally:
        for name in present:
            assert not name.exists(), f"something has made another {name.name}"
            (aside / name.name).rename(name)
        aside.rmdir()


@contextmanager
def blocked(folder: Path) -> Iterator[None]:
    """Puts a file where a folder is, so that nothing in it can be reached or made."""
    aside = folder.with_name(f"{folder.name}.aside")
    folder.rename(aside)
    folder.write_text("not a folder")
    try:
        yield
    finally:
        folder.unlink()
        aside.rename(folder)


@contextmanager
def no_room_for(pid: int) -> Iterator[None]:
    """Lets no file grow that a process writes: each write ends with an error."""
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[None]:
    """Mounts a small file system; raises PermissionError where that is not allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    _mount("-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder))
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def full(folder: Path) -> Iterator[None]:
    """Fills the file system of a folder to the last byte."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 4096)
        except OSError:
            pass  # that is the point
    try:
        yield
    finally:
        filler.unlink()


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Lets nothing be written to the file system that is mounted at a folder."""
    _mount("-o", "remount,ro", str(folder))
    try:
        yield
    finally:
        _mount("-o", "remount,rw", str(folder))


def _mount(*arguments: str) -> None:
    try:
        subprocess.run(["mount", *arguments], check=True, capture_output=True, text=True)
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        raise PermissionError(f"cannot mount: {error}") from error
