"""A whole Tweezer, started by its real command in processes of its own."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from pasqal_cloud import PasqalCloudConnection
from pasqal_cloud.endpoints import Endpoints, TokenProviderConf
from pasqal_cloud.pasqal_cloud_client import PasqalCloudClient
from patience import PATIENCE

BIN = Path(sys.executable).parent
TWEEZER = str(BIN / "tweezer")


class Stack:
    """One `tweezer up`, from its start to its end."""

    def __init__(self, data_dir: Path, *options: str, **environment: str) -> None:
        self.data_dir = data_dir
        data_dir.mkdir(parents=True, exist_ok=True)
        self.messages = data_dir.with_name(f"{data_dir.name}.stderr")
        ports = ("--port", "0", "--batch-port", "0", "--job-port", "0")
        with self.messages.open("ab") as stderr:
            self.process = subprocess.Popen(
                [TWEEZER, "up", "--data-dir", str(data_dir), *ports, *options],
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                env={**os.environ, **environment},
                # A group of its own: a test can send it signals as a terminal does.
                process_group=0,
            )
        assert self.process.stdout is not None
        self.announcement = ""
        for line in self.process.stdout:
            self.announcement += line
            if "Press Ctrl-C" in line:
                break
        else:
            self.process.wait(PATIENCE)
            raise AssertionError(f"tweezer up did not start:\n{self.messages.read_text()}")
        self.facts: dict[str, Any] = json.loads(
            subprocess.check_output([TWEEZER, "connection", "--json", "--data-dir", str(data_dir)])
        )

    def members(self) -> dict[int, str]:
        """Returns every process of the stack: what `tweezer up` started, and their children."""
        found, parents = {}, {self.process.pid}
        table = processes()
        while parents:
            children = {pid: name for pid, (parent, name) in table.items() if parent in parents}
            found |= children
            parents = set(children)
        return found

    def signal_terminal(self, number: int) -> None:
        """Sends a signal to the foreground group, as the terminal does on Ctrl-C."""
        os.killpg(self.process.pid, number)

    def wait(self) -> int:
        """Waits for the end and returns the exit code."""
        return self.process.wait(PATIENCE)

    def stop(self) -> int:
        """Asks it to stop and returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code

    def api(self, token: str | None = None) -> httpx.Client:
        """Returns a client of the core API, logged in unless another token is given."""
        if token is None:
            token = self.token()
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(
            base_url=self.facts["core"],
            headers=headers,
            timeout=30,
            transport=_patient(),
            trust_env=False,
        )

    def token(self) -> str:
        """Logs in."""
        with httpx.Client(transport=_patient(), trust_env=False) as client:
            answer = client.post(
                self.facts["token_endpoint"],
                data={
                    "client_id": "test",
                    "grant_type": "password",
                    "username": self.facts["username"],
                    "password": self.facts["password"],
                },
            )
        return answer.raise_for_status().json()["access_token"]

    def token_conf(self) -> TokenProviderConf:
        """Returns how the public client logs in."""
        return TokenProviderConf(
            token_endpoint=self.facts["token_endpoint"],
            public_client_id="test",
            audience="tweezer",
            realm="tweezer",
            grant_type="password",
        )

    def credentials(self) -> dict[str, Any]:
        """Returns the arguments of the public client's classes."""
        return {
            "username": self.facts["username"],
            "password": self.facts["password"],
            "project_id": self.facts["project_id"],
            "endpoints": Endpoints(core=self.facts["core"], account=self.facts["account"]),
            "auth_config": self.token_conf(),
        }


def _patient() -> httpx.HTTPTransport:
    """Returns a transport that connects again: a killed gateway takes seconds to be back."""
    return httpx.HTTPTransport(retries=6)


def run(
    *command: str, timeout: float = PATIENCE, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end; `tweezer` is the one of this environment."""
    path = os.pathsep.join([str(BIN), os.environ["PATH"]])
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, "PATH": path, **environment},
    )


def processes() -> dict[int, tuple[int, str]]:
    """Returns parent and name of every process of the machine that is not dead."""
    table = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                head, _, tail = (folder / "stat").read_text().rpartition(")")
            except (FileNotFoundError, ProcessLookupError):
                continue  # it ended while we looked
            state, parent = tail.split()[:2]
            if state not in "ZX":
                table[int(folder.name)] = (int(parent), head.partition("(")[2])
    return table


@pytest.fixture(scope="session")
def run_command() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs commands of this environment."""
    return run


@pytest.fixture(scope="session")
def start_stack() -> Iterator[Callable[..., Stack]]:
    """Starts stacks and stops those that still run at the end."""
    with ExitStack() as stacks:

        def start(*arguments: Any, **environment: str) -> Stack:
            stack = Stack(*arguments, **environment)
            stacks.callback(stack.stop)
            return stack

        yield start


@pytest.fixture(scope="session")
def stack(start_stack: Callable[..., Stack], tmp_path_factory: pytest.TempPathFactory) -> Stack:
    """The stack that most tests share."""
    return start_stack(tmp_path_factory.mktemp("shared") / "data", "--workers", "2")


@pytest.fixture
def api(stack: Stack) -> Iterator[httpx.Client]:
    """A logged-in client of the core API."""
    with stack.api() as client:
        yield client


@pytest.fixture
def connection(stack: Stack) -> PasqalCloudConnection:
    """The public client's connection for Pulser's remote backends."""
    return PasqalCloudConnection(**stack.credentials())


@pytest.fixture
def client(stack: Stack) -> PasqalCloudClient:
    """The public client."""
    return PasqalCloudClient(**stack.credentials())


@pytest.fixture
def operate(stack: Stack) -> Callable[..., None]:
    """Runs a command of the operator on the stack, as `operate("batches", "pause", batch_id)`."""

    def command(*words: str) -> None:
        answer = run(TWEEZER, *words, "--data-dir", str(stack.data_dir))
        assert answer.returncode == 0, answer.stderr

    return command
