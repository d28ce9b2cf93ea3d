"""A whole Tweezer, each process of which a test can hurt."""

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import httpx
from free_ports import free_ports
from readiness import grpc_ready, http_ready
from sqlalchemy import URL, Connection

from breaking import kernel
from breaking.gateways import Gateways
from breaking.server import DatabaseServer
from breaking.service import PATIENCE_S, Service
from tweezer.database.opening import create_engine_of
from tweezer.database.timestamps import now_micros
from tweezer.database.url import sqlite_url
from tweezer.identity import store
from tweezer.identity.bootstrap import FirstLogin, bootstrap, prepare
from tweezer.identity.models import QueuePriority
from tweezer.identity.settings import IdentitySettings
from tweezer.identity.tokens import TokenIssuer

#: In the order in which they are stopped.
NAMES: Final = ("gateway", "execution", "batch", "job")

_WITH_DATABASE: Final = ("batch", "job", "identity")

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
    # What a replica left undone is soon found by another.
    "TWEEZER_TAKE_OVER_INTERVAL_S": "1",
}


def names_of(replicas: int) -> dict[str, str]:
    """Returns the names of the processes and what each of them is, in the order of `NAMES`."""
    return {
        role if number == 1 else f"{role}-{number}": role
        for role in NAMES
        for number in range(1, replicas + 1)
    }


class Deployment:
    """The processes, on ports that stay the same, and the data folder that they share.

    With a server there are replicas, which share databases on it; without one, files are enough.
    """

    def __init__(
        self,
        folder: Path,
        *,
        server: DatabaseServer | None = None,
        replicas: int = 1,
        may_crash: bool = False,
        **settings: str,
    ) -> None:
        self.data_dir, self.server, self.replicas = folder / "data", server, replicas
        self.databases: dict[str, URL] = {
            name: sqlite_url(self.data_dir / f"{name}.db")
            if server is None
            else server.make_database()
            for name in _WITH_DATABASE
        }
        self._roles = names_of(replicas)
        self._ports = dict(zip(self._roles, free_ports(len(self._roles)), strict=True))
        self.services = {
            name: Service(
                name, role, self._environment(name, role, settings), folder, may_crash=may_crash
            )
            for name, role in self._roles.items()
        }
        urls: dict[str, Any] = {"identity_database_url": _secret(self.databases["identity"])}
        identity = IdentitySettings(data_dir=self.data_dir, **urls)
        login = bootstrap(identity)
        assert login is not None
        self.login: FirstLogin = login
        self.projects = [login.project_id, *_more_projects(identity, login)]
        issuer = TokenIssuer(prepare(identity), identity)
        self.token = issuer.issue(login.user_id, login.username, self.projects, operator=True)

    def __getitem__(self, name: str) -> Service:
        return self.services[name]

    def of(self, role: str) -> list[Service]:
        """Returns the replicas of a process."""
        return [service for service in self.services.values() if service.role == role]

    def address(self, role: str) -> str:
        """Returns the address that stands for all replicas of a process."""
        alike = (name for name, each in self._roles.items() if each == role)
        return "ipv4:" + ",".join(self._address(name) for name in alike)

    def _address(self, name: str) -> str:
        return f"127.0.0.1:{self._ports[name]}"

    @property
    def url(self) -> str:
        """Base of the REST API."""
        return self._url("gateway")

    def _url(self, name: str) -> str:
        return f"http://{self._address(name)}"

    def api(self) -> httpx.AsyncClient:
        """Returns a logged-in client of the REST API."""
        return httpx.AsyncClient(
            base_url=self.url,
            headers={"Authorization": f"Bearer {self.token}"},
            timeout=30,
            transport=Gateways(self._ports[gateway.name] for gateway in self.of("gateway")),
        )

    def start(self, roles: Iterable[str] = NAMES) -> None:
        """Starts all replicas of some processes that do not run, and waits until they serve."""
        services = [service for role in roles for service in self.of(role)]
        for service in services:
            if not service.running:
                service.start()
        self.await_ready(service.name for service in services)

    def await_ready(self, names: Iterable[str]) -> None:
        """Waits until processes serve."""
        asyncio.run(asyncio.wait_for(self.ready(names), PATIENCE_S))

    def arm(self, point: str, **settings: str) -> None:
        """Lets a process die at a crash point; settings make its replicas come there."""
        replicas = self.of(point.partition(".")[0])
        if settings:
            for service in replicas:
                service.kill()
                service.start(**settings)
            self.await_ready(service.name for service in replicas)
        replicas[0].arm(point)

    def wait_for_crash(self, role: str) -> Service:
        """Waits until a replica has died at the point for which it was armed, and returns it."""
        replicas = {service.pid: service for service in self.of(role) if service.running}
        pid = kernel.first_to_end(replicas, PATIENCE_S)
        assert pid is not None, f"no {role} service comes to the point"
        replicas[pid].wait_for_crash()
        return replicas[pid]

    def make_alike(self) -> None:
        """Ends the processes that run with settings that the others do not have."""
        for service in self.services.values():
            if service.running and service.is_special:
                service.kill()

    async def ready(self, names: Iterable[str]) -> None:
        """Returns when processes serve; fails when one of them ends instead."""
        await asyncio.gather(*(self._ready(name) for name in names))

    async def _ready(self, name: str) -> None:
        if self[name].role == "gateway":
            waits = http_ready(f"{self._url(name)}/ready")
        else:
            waits = grpc_ready(self._address(name))
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
        return {name: each.stop() for name, each in self.services.items() if each.running}

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

    def _environment(self, name: str, role: str, settings: Mapping[str, str]) -> dict[str, str]:
        return {
            **_SETTINGS,
            "TWEEZER_DATA_DIR": str(self.data_dir),
            **{f"TWEEZER_{n.upper()}_DATABASE_URL": _secret(u) for n, u in self.databases.items()},
            f"TWEEZER_{role.upper()}_LISTEN": self._address(name),
            "TWEEZER_GATEWAY_PORT": str(self._ports[name]),
            "TWEEZER_BATCH_ADDRESS": self.address("batch"),
            "TWEEZER_JOB_ADDRESS": self.address("job"),
            **settings,
        }


def _more_projects(settings: IdentitySettings, login: FirstLogin) -> list[str]:
    """Adds projects of the user, one for each of the other priorities."""
    priorities = [each for each in QueuePriority if each is not QueuePriority.MEDIUM]
    engine = create_engine_of(settings.identity_database)

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


def _secret(url: URL) -> str:
    return url.render_as_string(hide_password=False)
