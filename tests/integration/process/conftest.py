"""All four processes, each started by itself, in any order."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from free_ports import free_ports
from readiness import grpc_ready, http_ready

from tweezer.cli.programs import max_independent_set
from tweezer.identity.bootstrap import bootstrap
from tweezer.identity.settings import IdentitySettings

NAMES = ("gateway", "batch", "job", "execution")

#: How long anything may take that ends by itself, in seconds.
PATIENCE = 120


class Processes:
    """The processes of one data folder, with their logs in JSON."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self._folder, self._running = folder, dict[str, subprocess.Popen[bytes]]()
        self.ports = dict(zip(NAMES, free_ports(4), strict=True))
        self.metrics_ports = dict(zip(NAMES[1:], free_ports(3), strict=True))
        self._environment = {
            **os.environ,
            "TWEEZER_DATA_DIR": str(folder / "data"),
            "TWEEZER_GATEWAY_PORT": str(self.ports["gateway"]),
            "TWEEZER_EXECUTION_WORKERS": "1",
            "TWEEZER_LOG_FORMAT": "json",
            "TWEEZER_LOG_LEVEL": "debug",
            "TWEEZER_STOP_GRACE_S": "2",
            **{f"TWEEZER_{n.upper()}_LISTEN": self.address(n) for n in NAMES[1:]},
            **{f"TWEEZER_{n.upper()}_ADDRESS": self.address(n) for n in ("batch", "job")},
            **{
                f"TWEEZER_{name.upper()}_METRICS_LISTEN": f"127.0.0.1:{port}"
                for name, port in self.metrics_ports.items()
            },
            **settings,
        }
        login = bootstrap(IdentitySettings(data_dir=folder / "data"))
        assert login is not None
        self.login = login

    def address(self, name: str) -> str:
        return f"127.0.0.1:{self.ports[name]}"

    @property
    def url(self) -> str:
        return f"http://{self.address('gateway')}"

    def start(self, name: str) -> None:
        with (self._folder / f"{name}.log").open("ab") as file:
            self._running[name] = subprocess.Popen(
                [sys.executable, "-m", f"tweezer.{name}"],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stderr=file,
                stdout=file,
            )

    async def ready(self, name: str) -> None:
        """Waits until a process serves, itself."""
        wait = http_ready(f"{self.url}/metrics") if name == "gateway" else None
        async with asyncio.timeout(PATIENCE):
            await (wait or grpc_ready(self.address(name)))

    async def start_all(self) -> None:
        for name in NAMES:
            self.start(name)
        for name in NAMES:
            await self.ready(name)

    def stop(self) -> None:
        for process in self._running.values():
            process.send_signal(signal.SIGTERM)
        for process in self._running.values():
            try:
                process.wait(30)
            finally:
                process.kill()
                process.wait()

    def log(self, name: str) -> list[dict[str, Any]]:
        """Returns what a process has logged so far."""
        lines = (self._folder / f"{name}.log").read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    @asynccontextmanager
    async def client(self) -> AsyncIterator[httpx.AsyncClient]:
        """Gives a client that has logged in."""
        async with httpx.AsyncClient(base_url=self.url, timeout=30, trust_env=False) as client:
            await self._log_in(client)
            yield client

    async def _log_in(self, client: httpx.AsyncClient) -> None:
        answer = await client.post(
            "/oauth/token",
            data={
                "grant_type": "password",
                "client_id": "test",
                "username": self.login.username,
                "password": self.login.password,
            },
        )
        token = answer.raise_for_status().json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"

    def batch(self) -> dict[str, Any]:
        """Returns the body of a request for a batch."""
        return max_independent_set.program().as_request(self.login.project_id)

    async def finish(self, client: httpx.AsyncClient, batch_id: str) -> str:
        """Waits until a batch is final and returns its status."""
        status = ""
        url = f"/api/v1/batches/{batch_id}/events"
        async with asyncio.timeout(PATIENCE), client.stream("GET", url) as stream:
            async for line in stream.aiter_lines():
                if line.startswith("data: "):
                    status = json.loads(line.removeprefix("data: "))["status"]
        return status


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Callable[..., Processes]]:
    """Makes sets of processes, none of which runs yet."""
    with ExitStack() as stack:

        def make(**settings: str) -> Processes:
            made = Processes(tmp_path, **settings)
            stack.callback(made.stop)
            return made

        yield make
