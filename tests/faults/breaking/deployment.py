"""A whole Tweezer, each process of which a test can hurt."""

import asyncio
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import httpx
from sqlalchemy import Connection

from breaking import kernel
from breaking.service import PATIENCE_S, Service
from tweezer.cli.failure import Failure
from tweezer.cli.ports import choose_ports
from tweezer.cli.readiness import grpc_ready, http_ready
from tweezer.database.sqlite import create_sqlite_engine
from tweezer.database.timestamps import now_micros
from tweezer.identity import store
from tweezer.identity.bootstrap import FirstLogin, bootstrap, prepare
from tweezer.identity.models import QueuePriority
from tweezer.identity.settings import IdentitySettings
from tweezer.identity.tokens import TokenIssuer

#: In the order in which they are stopped.
NAMES: Final = ("gateway", "execution", "batch", "job")

#: Leases are short, so that what is lost is found soon, and jobs may lose many workers.
_SETTINGS: Final = {
    "TWEEZER_LEASE_DURATION_S": "2",
    "TWEEZER_LEASE_RENEWAL_S": "0.3",
    "TWEEZER_LEASE_GRACE_S": "2",
    "TWEEZER_ADDITION_GRACE_S": "3",
    "TWEEZER_MAX_ATTEMPTS": "100",
    "TWEEZER_EXECUTION_WORKERS": "2",
    "TWEEZER_STOP_ON_STDIN_CLOSE": "true",
    "TWEEZER_STOP_GRACE_S": "5",
    # Results that belong to no job are looked for all the time. A process that is frozen while it
    # puts one shall find it there when it goes on.
    "TWEEZER_RESULT_SWEEP_DELAY_S": "1",
    "TWEEZER_RESULT_SWEEP_INTERVAL_H": "0.0005",
    "TWEEZER_RESULT_SWEEP_GRACE_S": "8",
}


class Deployment:
    """The processes, on ports that stay the same, and the data folder that they share."""

    def __init__(self, folder: Path, *, may_crash: bool = False, **settings: str) -> None:
        self.data_dir = folder / "data"
        self._ports = _free_ports()
        self.services = {
            name: Service(name, self._environment(settings), folder, may_crash=may_crash)
            for name in NAMES
        }
        identity = IdentitySettings(data_dir=self.data_dir)
        login = bootstrap(identity)
        assert login is not None
        self.login: FirstLogin = login
        self.projects = [login.project_id, *_more_projects(identity, login)]
        issuer = TokenIssuer(prepare(identity), identity)
        self.token = issuer.issue(login.user_id, login.username, self.projects, operator=True)

    def __getitem__(self, name: str) -> Service:
        return self.services[name]

    def address(self, name: str) -> str:
        """Returns where a process listens."""
        return f"127.0.0.1:{self._ports[name]}"

    @property
    def url(self) -> str:
        """Base of the REST API."""
        return f"http://{self.address('gateway')}"

    def api(self) -> httpx.AsyncClient:
        """Returns a logged-in client of the REST API."""
        return httpx.AsyncClient(
            base_url=self.url,
            headers={"Authorization": f"Bearer {self.token}"},
            timeout=30,
            trust_env=False,
            # Each call has a connection of its own: a process that is gone takes no other along.
            limits=httpx.Limits(max_keepalive_connections=0),
        )

    def start(self, names: Iterable[str] = NAMES) -> None:
        """Starts those of the processes that do not run, and waits until they serve."""
        names = list(names)
        for name in names:
            if not self[name].running:
                self[name].start()
        self.await_ready(names)

    def await_ready(self, names: Iterable[str]) -> None:
        """Waits until processes serve."""
        asyncio.run(asyncio.wait_for(self.ready(names), PATIENCE_S))

    async def ready(self, names: Iterable[str]) -> None:
        """Returns when processes serve; fails when one of them ends instead."""
        await asyncio.gather(*(self._ready(name) for name in names))

    async def _ready(self, name: str) -> None:
        waits = (
            http_ready(f"{self.url}/ready") if name == "gateway" else grpc_ready(self.address(name))
        )
        serves = asyncio.ensure_future(waits)
        try:
            while not (await asyncio.wait([serves], timeout=0.1))[0]:
                if not self[name].running:
                    words = self[name].last_words()
                    raise AssertionError(f"{name} does not start:\n{words}")
        finally:
            serves.cancel()
        await serves

    def stop(self) -> dict[str, int]:
        """Stops everything that runs, as `tweezer up` does; returns the exit codes."""
        return {name: self[name].stop() for name in NAMES if self[name].running}

    def kill(self) -> None:
        """Ends everything that runs."""
        for service in self.services.values():
            if service.running:
                service.kill()

    def remains(self) -> list[kernel.Entry]:
        """Returns what is left of any process that was started, after a moment to end."""
        sessions = {s for service in self.services.values() for s in service.sessions}
        for entry in kernel.of_sessions(sessions):
            kernel.ends(entry.pid, within_s=20)
        return kernel.of_sessions(sessions)

    def zombies(self) -> list[kernel.Entry]:
        """Returns the dead that the processes have not waited for."""
        living = {service.pid for service in self.services.values() if service.running}
        return kernel.zombies_of(living)

    def _environment(self, settings: dict[str, str]) -> dict[str, str]:
        return {
            **_SETTINGS,
            "TWEEZER_DATA_DIR": str(self.data_dir),
            "TWEEZER_BATCH_LISTEN": self.address("batch"),
            "TWEEZER_BATCH_ADDRESS": self.address("batch"),
            "TWEEZER_JOB_LISTEN": self.address("job"),
            "TWEEZER_JOB_ADDRESS": self.address("job"),
            "TWEEZER_EXECUTION_LISTEN": self.address("execution"),
            "TWEEZER_GATEWAY_PORT": str(self._ports["gateway"]),
            **settings,
        }


def _more_projects(settings: IdentitySettings, login: FirstLogin) -> list[str]:
    """Adds projects of the user, one for each of the other priorities."""
    priorities = [each for each in QueuePriority if each is not QueuePriority.MEDIUM]
    engine = create_sqlite_engine(settings.identity_database_file)

    def add(connection: Connection, priority: QueuePriority) -> str:
        now = now_micros()
        project_id = store.add_project(connection, priority.value, now, priority)
        store.add_member(connection, project_id, login.user_id, now)
        return project_id

    try:
        with engine.begin() as connection:
            return [add(connection, priority) for priority in priorities]
    finally:
        engine.dispose()


def _free_ports() -> dict[str, int]:
    """Returns ports that no outgoing connection takes while their process is down."""
    while True:
        wanted = zip(NAMES, random.sample(range(20_000, 32_000), len(NAMES)), strict=True)
        try:
            return choose_ports({name: ("127.0.0.1", port) for name, port in wanted})
        except Failure:
            continue
