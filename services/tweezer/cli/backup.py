"""`tweezer backup`: a copy of a data folder, taken while everything runs."""

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Final

import typer

from tweezer.cli.failure import Failure
from tweezer.cli.options import DataDir, resolve_data_dir
from tweezer.cli.terminal import answers, fail

#: What says that something runs on a folder: not true of a copy.
_OF_THE_RUNNING: Final = ("tweezer.lock", "endpoints.")

_RESULTS: Final = "results"

Target = Annotated[
    Path, typer.Argument(help="Folder of the copy; it must not be there.", show_default=False)
]
WithResults = Annotated[
    bool,
    typer.Option(
        "--results/--no-results", help="Whether to copy the results, which may be many files."
    ),
]


class BackupFailed(Failure):
    """There is no copy; the text says why."""


def backup(target: Target, results: WithResults = True, data_dir: DataDir = None) -> None:
    """Copy the data folder as it is at one moment: databases, keys, accounts and results.

    The copy is a data folder itself: start on it, or put it in the place of the one that is lost.
    """
    folder = resolve_data_dir(data_dir)
    try:
        copy_data_folder(folder, target.expanduser().absolute(), with_results=results)
    except Failure as error:
        fail(str(error))
    answers().print(f"{folder} is copied to {target}", markup=False, soft_wrap=True)


def copy_data_folder(folder: Path, target: Path, *, with_results: bool) -> None:
    """Copies a data folder; the target is there in whole or not at all."""
    from tweezer.database.same_moment import copy_files

    databases = _databases(folder)
    if os.path.lexists(target):
        raise BackupFailed(f"{target} is there already: give the name of a new folder")
    target.parent.mkdir(parents=True, exist_ok=True)
    # Only for its owner, as it holds the keys.
    draft = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        copy_files({file: draft / f"{name}.db" for name, file in databases.items()})
        # After the databases: whatever these say is stored is there to be copied.
        _copy_files_of(folder, draft, databases.values(), with_results=with_results)
        draft.rename(target)
    except (OSError, sqlite3.Error, shutil.Error) as error:
        raise BackupFailed(f"{folder} cannot be copied to {target}: {error}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _databases(folder: Path) -> dict[str, Path]:
    """Returns the file of each service's database, wherever its settings have it."""
    from tweezer.cli.db import databases
    from tweezer.database.url import is_postgres

    files: dict[str, Path] = {}
    for name, url, _ in databases(folder):
        if is_postgres(url):
            raise BackupFailed(
                "the databases are on a server: copy them with the tools of PostgreSQL"
            )
        files[name] = Path(url.database or "")
        if not files[name].exists():
            raise BackupFailed(f"there is no database {files[name]}")
    return files


def _copy_files_of(
    folder: Path, draft: Path, databases: Iterable[Path], *, with_results: bool
) -> None:
    left_out = {
        *(f"{file.name}{end}" for file in databases for end in ("", "-wal", "-shm", "-journal")),
        *([] if with_results else [_RESULTS]),
    }
    for entry in folder.iterdir():
        if entry.name in left_out or entry.name.startswith(_OF_THE_RUNNING):
            continue
        if entry.is_dir():
            shutil.copytree(entry, draft / entry.name, copy_function=_copy_if_there)
        else:
            _copy_if_there(str(entry), str(draft / entry.name))


def _copy_if_there(source: str, target: str) -> None:
    """Copies a file, unless it went while the folder was copied.

    Results do when their time is over, and parts of results that are just being written.
    """
    try:
        shutil.copy2(source, target)
    except FileNotFoundError:
        if os.path.exists(source):
            raise
