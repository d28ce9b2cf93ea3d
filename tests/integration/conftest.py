"""Databases for every test that keeps something: SQLite files, and a real PostgreSQL server."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL

from tweezer.database.url import sqlite_url

#: Kinds of databases that a test with a database is run on.
BACKENDS = ("sqlite", "postgresql")

#: Tests that run on every kind of database each time: what one writer at a time hides shows there.
#: The others run on a server where there is time for it.
_ALWAYS = frozenset(
    {
        "job/test_races.py",
        "job/test_replicas.py",
        "job/test_exclusive.py",
        "job/test_intents.py",
        "job/test_endings.py",
        "job/test_stored_bytes.py",
        "batch/test_add_jobs.py",
        "batch/test_progress.py",
        "batch/test_replicas.py",
        "identity/test_bootstrap.py",
        "database/test_upgrade.py",
    }
)


def pytest_itemcollected(item: pytest.Item) -> None:
    parameters = getattr(item, "callspec", None)
    on_server = parameters is not None and "postgresql" in parameters.params.values()
    file = "/".join(item.path.parts[-2:])
    if on_server and item.path.is_relative_to(Path(__file__).parent) and file not in _ALWAYS:
        item.add_marker(pytest.mark.slow)


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """The kind of database; a file of tests that are about one kind overrides it."""
    kind: str = request.param
    return kind


NewDatabase = Callable[[Path, Path], URL]
Databases = Callable[[str], AbstractContextManager[NewDatabase]]


@pytest.fixture(scope="session")
def databases(request: pytest.FixtureRequest) -> Databases:
    """Makes databases of a kind, for fixtures of any scope; the server starts when it is needed.

    A file is not there yet, so that services make it; on a server, the tables are there.
    """

    @contextmanager
    def of_kind(backend: str) -> Iterator[NewDatabase]:
        given: list[tuple[URL, Path]] = []

        def new(file: Path, migrations: Path) -> URL:
            if backend == "sqlite":
                return sqlite_url(file)
            server: Any = request.getfixturevalue("postgres_server")
            given.append((server.migrated(migrations), migrations))
            return given[-1][0]

        yield new
        for url, migrations in given:
            request.getfixturevalue("postgres_server").take_back(url, migrations)

    return of_kind


@pytest.fixture
def new_database(backend: str, databases: Databases) -> Iterator[NewDatabase]:
    """Makes databases of the kind that the test runs on."""
    with databases(backend) as new:
        yield new


def secret_url(url: URL) -> str:
    """Returns a URL as a setting has it."""
    return url.render_as_string(hide_password=False)
