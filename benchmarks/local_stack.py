"""A whole Tweezer in a temporary folder, for measuring."""

import json
import os
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from tweezer.cli.facts import ConnectionFacts

TWEEZER: Final = str(Path(sys.executable).with_name("tweezer"))
_SERVICES: Final = ("gateway", "batch", "job", "execution")


@dataclass(frozen=True, slots=True)
class LocalStack:
    """What runs and how to reach it."""

    folder: Path
    facts: ConnectionFacts
    supervisor: int
    """Identifier of the process that is `tweezer up`."""

    @property
    def host(self) -> str:
        """Where the REST API listens."""
        return urlsplit(self.facts.core).hostname or ""

    @property
    def port(self) -> int:
        """Where the REST API listens."""
        return urlsplit(self.facts.core).port or 0

    def token(self) -> str:
        """Logs in."""
        form = {
            "grant_type": "password",
            "client_id": "benchmark",
            "username": self.facts.username,
            "password": self.facts.password,
        }
        data = urllib.parse.urlencode(form).encode()
        with urllib.request.urlopen(self.facts.token_endpoint, data) as answer:
            return str(json.load(answer)["access_token"])

    def call(self, method: str, path: str, token: str, body: Any = None) -> Any:
        """Sends one request and returns the JSON of the answer."""
        request = urllib.request.Request(
            f"http://{self.host}:{self.port}{path}",
            None if body is None else json.dumps(body).encode(),
            {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def command(self, *arguments: str) -> None:
        """Runs a command of `tweezer` on the stack."""
        subprocess.run(
            [TWEEZER, *arguments, "--data-dir", str(self.folder)], check=True, capture_output=True
        )

    def processes(self) -> dict[str, int]:
        """Returns the identifiers of the processes of the stack by name."""
        found = {"up": self.supervisor}
        for folder in Path("/proc").glob("[0-9]*"):
            if parent_of(int(folder.name)) == self.supervisor:
                words = (folder / "cmdline").read_bytes().decode().split("\0")
                name = next((w.rpartition(".")[2] for w in words if w.startswith("tweezer.")), "")
                if name in _SERVICES:
                    found[name] = int(folder.name)
        return found


@contextmanager
def local_stack(
    *options: str, settings: Mapping[str, str] | None = None, folder: Path | None = None
) -> Iterator[LocalStack]:
    """Runs a stack while the body runs, with options of `tweezer up` and settings by name."""
    with tempfile.TemporaryDirectory(prefix="tweezer-bench-") as temporary:
        data = folder or Path(temporary)
        command = [TWEEZER, "up", "--data-dir", str(data), *options]
        for option in ("--port", "--batch-port", "--job-port"):
            command += [option, "0"]
        environment = {**os.environ, **(settings or {})}
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env=environment
        ) as process:
            assert process.stdout is not None
            if not any("running" in line for line in process.stdout):
                raise SystemExit("Tweezer did not start")
            facts = subprocess.check_output(
                [TWEEZER, "connection", "--json", "--data-dir", str(data)]
            )
            try:
                yield LocalStack(data, ConnectionFacts(**json.loads(facts)), process.pid)
            finally:
                process.terminate()


def parent_of(pid: int) -> int | None:
    """Returns the process that started another; None when that is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return int(stat.rpartition(")")[2].split()[1])


def cpu_seconds(pid: int) -> float:
    """Returns the processor time of a process with all its threads so far."""
    nanoseconds = 0
    for task in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        nanoseconds += int(task.read_text().split()[0])
    return nanoseconds / 1e9
