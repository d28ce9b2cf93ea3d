"""Copies of several files are of one moment."""

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from tweezer.database.same_moment import copy_files
from tweezer.database.sqlite import create_sqlite_engine


def made(path: Path) -> sqlite3.Connection:
    create_sqlite_engine(path).connect().close()  # in the mode that services use
    connection = sqlite3.connect(path, isolation_level=None, timeout=30, check_same_thread=False)
    connection.execute("CREATE TABLE entry (number INTEGER PRIMARY KEY, filling TEXT)")
    return connection


def numbers(path: Path) -> list[int]:
    with closing(sqlite3.connect(path)) as connection:
        return [row[0] for row in connection.execute("SELECT number FROM entry ORDER BY number")]


def test_no_copy_knows_of_what_another_lacks(tmp_path: Path) -> None:
    first, second = tmp_path / "first.db", tmp_path / "second.db"
    stop, some = threading.Event(), threading.Event()
    with closing(made(first)) as one, closing(made(second)) as other:

        def write() -> None:
            # As the services do: what one has committed, the other commits next.
            number = 0
            while not stop.is_set():
                number += 1
                for connection in (one, other):
                    connection.execute("INSERT INTO entry VALUES (?, ?)", (number, "x" * 500))
                if number > 50:
                    some.set()

        writing = threading.Thread(target=write)
        writing.start()
        try:
            assert some.wait(60)
            for round_ in range(10):
                folder = tmp_path / str(round_)
                folder.mkdir()
                # The file that is written last is named first: copied one after the other as they
                # come, the second copy would know of more.
                copy_files({second: folder / "second.db", first: folder / "first.db"})
                earlier, later = numbers(folder / "first.db"), numbers(folder / "second.db")
                assert later == list(range(1, len(later) + 1))
                assert len(later) <= len(earlier) <= len(later) + 1
        finally:
            stop.set()
            writing.join()


def test_a_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        copy_files({tmp_path / "none.db": tmp_path / "copy.db"})
    assert list(tmp_path.iterdir()) == []


def test_the_services_write_again_at_once(tmp_path: Path) -> None:
    source = tmp_path / "a.db"
    with closing(made(source)) as connection:
        copy_files({source: tmp_path / "b.db"})
        connection.execute("PRAGMA busy_timeout = 0")
        connection.execute("INSERT INTO entry VALUES (1, '')")
    assert numbers(tmp_path / "b.db") == []
