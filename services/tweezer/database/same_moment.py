"""Copies several SQLite files as they are at one moment, while services use them."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote

#: How long to wait for a service that is writing, in seconds.
_PATIENCE_S: Final = 30.0


def copy_files(targets: Mapping[Path, Path]) -> None:
    """Copies each file to its target.

    Nothing that is committed in one of the files is missing from the copy of another: together the
    copies are what a crash of everything at that moment would have left.
    """
    with _at_one_moment(list(targets)) as sources:
        for source, target in zip(sources, targets.values(), strict=True):
            with closing(sqlite3.connect(target)) as copy:
                source.backup(copy)
                _check(copy, target)


@contextmanager
def _at_one_moment(files: Sequence[Path]) -> Iterator[list[sqlite3.Connection]]:
    with ExitStack() as stack:
        writers = [stack.enter_context(closing(_open(file))) for file in files]
        readers = [stack.enter_context(closing(_open(file))) for file in files]
        for writer in writers:
            writer.execute("BEGIN IMMEDIATE")  # from here on nobody commits anything
        for reader in readers:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM sqlite_schema")  # what it sees begins here
        for writer in writers:
            writer.execute("ROLLBACK")
        yield readers


def _open(file: Path) -> sqlite3.Connection:
    # Read-write, as it takes a lock; unlike a plain path, this never makes a file.
    uri = f"file:{quote(str(file))}?mode=rw"
    return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=_PATIENCE_S)


def _check(copy: sqlite3.Connection, path: Path) -> None:
    (answer,) = copy.execute("PRAGMA quick_check(1)").fetchone()
    if answer != "ok":
        raise sqlite3.DatabaseError(f"the copy {path.name} is damaged: {answer}")
