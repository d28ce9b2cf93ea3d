"""A Slurm cluster of one node, and a Tweezer that runs its jobs there.

Where Slurm is not installed these tests are skipped, but not in CI, which says by TWEEZER_CI that
it has installed it.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from one_node_slurm import OneNodeSlurm, missing
from pasqal_cloud.endpoints import Endpoints, TokenProviderConf
from pasqal_cloud.pasqal_cloud_client import PasqalCloudClient

TWEEZER = str(Path(sys.executable).parent / "tweezer")

#: How long anything may take that ends by itself, in seconds.
PATIENCE = 120

#: Nothing tells what Slurm does, so it is asked this often, in seconds.
RETRY = 0.1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.slow)


def until(condition: Callable[[], bool], what: str) -> None:
    """Waits until something is true."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"in vain: {what}"
        time.sleep(RETRY)


class SlurmStack:
    """A `tweezer up --engine slurm`."""

    def __init__(self, data_dir: Path, environment: dict[str, str]) -> None:
        self.data_dir, self.messages = data_dir, data_dir.with_suffix(".stderr")
        options = ["--port", "0", "--batch-port", "0", "--job-port", "0"]
        with self.messages.open("wb") as messages:
            self._process = subprocess.Popen(
                [TWEEZER, "up", "--engine", "slurm", "--data-dir", str(data_dir), *options],
                stdout=subprocess.PIPE,
                stderr=messages,
                text=True,
                env={**os.environ, **environment},
            )
        assert self._process.stdout is not None
        if not any("Press Ctrl-C" in line for line in self._process.stdout):
            raise AssertionError(f"tweezer up did not start:\n{self.messages.read_text()}")
        connection = [TWEEZER, "connection", "--json", "--data-dir", str(data_dir)]
        self.facts: dict[str, Any] = json.loads(subprocess.check_output(connection))

    def client(self) -> PasqalCloudClient:
        """Returns the public client."""
        return PasqalCloudClient(
            username=self.facts["username"],
            password=self.facts["password"],
            project_id=self.facts["project_id"],
            endpoints=Endpoints(core=self.facts["core"], account=self.facts["account"]),
            auth_config=TokenProviderConf(
                token_endpoint=self.facts["token_endpoint"],
                public_client_id="test",
                audience="tweezer",
                realm="tweezer",
                grant_type="password",
            ),
        )

    def api(self) -> httpx.Client:
        """Returns a client of the core API, logged in."""
        form = {
            "client_id": "test",
            "grant_type": "password",
            "username": self.facts["username"],
            "password": self.facts["password"],
        }
        answer = httpx.post(self.facts["token_endpoint"], data=form, trust_env=False)
        token = answer.raise_for_status().json()["access_token"]
        return httpx.Client(
            base_url=self.facts["core"],
            headers={"Authorization": f"Bearer {token}"},
            trust_env=False,
            timeout=30,
        )

    def execution_service(self) -> int:
        """Returns the process of the execution service."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        for pid in map(int, children.read_text().split()):
            if b"tweezer.execution" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
        raise AssertionError("the execution service does not run")

    def stop(self) -> int:
        """Asks it to stop and returns the exit code."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(PATIENCE)
        assert self._process.stdout is not None
        self._process.stdout.close()
        return code


@pytest.fixture(scope="session")
def cluster() -> Iterator[OneNodeSlurm]:
    """A cluster with four cores, of which each worker takes one."""
    absent = missing()
    if absent and "TWEEZER_CI" not in os.environ:
        pytest.skip(f"not installed: {', '.join(absent)} (Debian: slurm-wlm, munge)")
    with OneNodeSlurm("tweezer-test", cores=4, memory_mib=8192) as cluster:
        yield cluster


@pytest.fixture
def environment(cluster: OneNodeSlurm) -> dict[str, str]:
    """What `tweezer up` is told about the cluster."""
    return {
        **cluster.environment,
        "TWEEZER_SLURM_HOST": "127.0.0.1",
        "TWEEZER_SLURM_IDLE_S": "600",
        "TWEEZER_SLURM_WORKER": json.dumps({"memory_mib": 1024, "max_workers": 2}),
        # A secret, for the test that looks for it in the Slurm jobs.
        "TWEEZER_TEST_SECRET": "not for workers",
    }


@pytest.fixture
def start_stack(tmp_path: Path, environment: dict[str, str]) -> Iterator[Callable[..., SlurmStack]]:
    """Starts a stack, with further settings."""
    stacks: list[SlurmStack] = []

    def start(**settings: str) -> SlurmStack:
        data_dir = tmp_path / f"data{len(stacks)}"
        data_dir.mkdir()
        stacks.append(SlurmStack(data_dir, {**environment, **settings}))
        return stacks[-1]

    yield start
    for stack in stacks:
        stack.stop()


@pytest.fixture
def wait_until() -> Callable[[Callable[[], bool], str], None]:
    """Waits until something is true."""
    return until
