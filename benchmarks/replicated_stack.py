"""Several gateways, batch services and job services that share databases, for measuring."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tweezer.identity.bootstrap import FirstLogin, bootstrap
from tweezer.identity.settings import IdentitySettings

NAMES: Final = ("job", "batch", "gateway")

_PATIENCE_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class ReplicatedStack:
    """What runs and how to reach it."""

    login: FirstLogin
    gateways: list[int]
    """Ports."""

    def token(self) -> str:
        """Logs in."""
        form = {
            "grant_type": "password",
            "client_id": "benchmark",
            "username": self.login.username,
            "password": self.login.password,
        }
        url = f"http://127.0.0.1:{self.gateways[0]}/oauth/token"
        with urllib.request.urlopen(url, urllib.parse.urlencode(form).encode()) as answer:
            return str(json.load(answer)["access_token"])


@contextmanager
def replicated_stack(replicas: int, make_database: Callable[[], str]) -> Iterator[ReplicatedStack]:
    """Runs so many of each process while the body runs."""
    urls = {name: make_database() for name in ("batch", "job", "identity")}
    ports = _free_ports(len(NAMES) * replicas)
    of = {name: [ports.pop() for _ in range(replicas)] for name in NAMES}
    with tempfile.TemporaryDirectory(prefix="tweezer-bench-") as folder, ExitStack() as running:
        secret: Any = urls["identity"]
        login = bootstrap(IdentitySettings(data_dir=Path(folder), identity_database_url=secret))
        assert login is not None
        environment = {
            **os.environ,
            **{f"TWEEZER_{name.upper()}_DATABASE_URL": url for name, url in urls.items()},
            "TWEEZER_DATA_DIR": folder,
            "TWEEZER_LOG_LEVEL": "error",
            "TWEEZER_BATCH_ADDRESS": _address(of["batch"]),
            "TWEEZER_JOB_ADDRESS": _address(of["job"]),
        }
        for name in NAMES:
            for port in of[name]:
                running.callback(_stop, _start(name, port, environment))
        stack = ReplicatedStack(login, of["gateway"])
        for port in stack.gateways:
            _await_ready(port)
        yield stack


def _address(ports: list[int]) -> str:
    return "ipv4:" + ",".join(f"127.0.0.1:{port}" for port in ports)


def _start(name: str, port: int, environment: dict[str, str]) -> "subprocess.Popen[bytes]":
    where = {
        "TWEEZER_GATEWAY_PORT": str(port),
        f"TWEEZER_{name.upper()}_LISTEN": f"127.0.0.1:{port}",
    }
    return subprocess.Popen([sys.executable, "-m", f"tweezer.{name}"], env={**environment, **where})


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    process.wait()


def _await_ready(port: int) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready"):
                return
        except (urllib.error.URLError, ConnectionError):
            if time.monotonic() > deadline:
                raise SystemExit("Tweezer did not start") from None
            time.sleep(0.1)


def _free_ports(number: int) -> list[int]:
    with ExitStack() as sockets:
        taken = [
            sockets.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(number)
        ]
        return [each.getsockname()[1] for each in taken]
