"""Replicas as on several machines: in common they have given keys, a database and S3, no folder."""

import asyncio
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from free_ports import free_ports
from pasqal_cloud.endpoints import Endpoints as ClientEndpoints
from pasqal_cloud.endpoints import TokenProviderConf
from pasqal_cloud.pasqal_cloud_client import PasqalCloudClient
from s3_server import CREDENTIALS

from tweezer.cli.endpoints import Endpoints
from tweezer.cli.facts import Account, connection_facts
from tweezer.cli.new_keys import make_keys
from tweezer.cli.programs import max_independent_set
from tweezer.identity.bootstrap import bootstrap
from tweezer.identity.settings import IdentitySettings

pytestmark = pytest.mark.slow

PROCESSES = ("batch", "batch", "job", "job", "execution", "gateway", "gateway")
JOBS = 10


class Machines:
    """Processes, each with a data folder of its own."""

    def __init__(self, root: Path, shared: dict[str, str], stack: ExitStack) -> None:
        self.root, self.shared, self._stack = root, shared, stack
        make_keys(root / "secrets")
        self.keys = root / "secrets" / "keys"
        for file in self.keys.iterdir():
            file.chmod(0o440)
        self.keys.chmod(0o550)
        ports = free_ports(len(PROCESSES))
        self.ports: dict[str, list[int]] = {}
        for name, port in zip(PROCESSES, ports, strict=True):
            self.ports.setdefault(name, []).append(port)
        self.running: dict[int, subprocess.Popen[bytes]] = {}

    def given(self, name: str) -> dict[str, str]:
        """Returns the keys that a process needs: some as files, some as variables."""
        service = {"TWEEZER_SERVICE_KEY": (self.keys / "service.key").read_text()}
        public = {"TWEEZER_JWKS": (self.keys / "jwks.json").read_text()}
        signing = {"TWEEZER_SIGNING_KEY_FILE": str(self.keys / "signing.pem")}
        webhooks = {"TWEEZER_WEBHOOK_KEY_FILE": str(self.keys / "webhooks.key")}
        tickets = {"TWEEZER_RESULT_TICKET_KEY_FILE": str(self.keys / "result-tickets.key")}
        return {
            "batch": {**service, **public, **signing, **webhooks},
            "job": {**service, **public, **webhooks, **tickets, **CREDENTIALS},
            "execution": service,
            "gateway": {},
        }[name]

    def start(self, name: str, port: int) -> None:
        own = self.root / f"{name}-{port}"
        own.mkdir()
        where = {f"TWEEZER_{name.upper()}_LISTEN": f"127.0.0.1:{port}"}
        if name == "gateway":
            where = {"TWEEZER_GATEWAY_PORT": str(port)}
        environment = {
            **os.environ,
            **self.shared,
            **self.given(name),
            **where,
            "TWEEZER_DATA_DIR": str(own),
            "TWEEZER_LOG_LEVEL": "debug",
            "TWEEZER_BATCH_ADDRESS": self.both("batch"),
            "TWEEZER_JOB_ADDRESS": self.both("job"),
            "TWEEZER_EXECUTION_WORKERS": "1",
        }
        with (own / "messages.log").open("wb") as log:
            process = subprocess.Popen(
                [str(Path(sys.executable).with_name("tweezer")), "serve", name],
                env=environment,
                stdout=log,
                stderr=log,
            )
        self._stack.callback(self.stop, process)
        self.running[port] = process

    def both(self, name: str) -> str:
        return ",".join(f"127.0.0.1:{port}" for port in self.ports[name])

    @staticmethod
    def stop(process: subprocess.Popen[bytes]) -> None:
        process.terminate()
        process.wait(60)

    def said(self) -> str:
        return "".join(file.read_text() for file in self.root.rglob("*.log"))


@pytest.fixture
def machines(tmp_path: Path, postgres_server: Any, s3_server: Any) -> Iterator[Machines]:
    made = {name: postgres_server.empty() for name in ("BATCH", "IDENTITY", "JOB")}
    shared = {
        f"TWEEZER_{name}_DATABASE_URL": url.set(drivername="postgresql").render_as_string(
            hide_password=False
        )
        for name, url in made.items()
    }
    shared["TWEEZER_RESULT_STORE_URL"] = s3_server.bucket().url
    with ExitStack() as stack:
        machines = Machines(tmp_path, shared, stack)
        for name, ports in machines.ports.items():
            for port in ports:
                machines.start(name, port)
        asyncio.run(until_ready(machines))
        yield machines
    for url in made.values():
        postgres_server.drop(url)


async def until_ready(machines: Machines) -> None:
    import httpx

    async with asyncio.timeout(120), httpx.AsyncClient(trust_env=False) as http:
        for port in machines.ports["gateway"]:
            while True:
                try:
                    if (await http.get(f"http://127.0.0.1:{port}/ready")).status_code == 200:
                        break
                except httpx.TransportError:
                    pass
                assert all(each.poll() is None for each in machines.running.values()), (
                    machines.said()
                )
                await asyncio.sleep(0.1)


def clients(machines: Machines, first_folder: Path) -> list[PasqalCloudClient]:
    """Returns a client at each gateway: what a load balancer sends where it likes."""
    settings: dict[str, Any] = {
        "identity_database_url": machines.shared["TWEEZER_IDENTITY_DATABASE_URL"]
    }
    login = bootstrap(IdentitySettings(data_dir=first_folder, **settings))
    assert login is not None
    found = []
    for port in machines.ports["gateway"]:
        where = Endpoints(url=f"http://127.0.0.1:{port}", batch="", job="")
        facts = connection_facts(Account(login.username, login.password, login.project_id), where)
        found.append(
            PasqalCloudClient(
                username=facts.username,
                password=facts.password,
                project_id=facts.project_id,
                endpoints=ClientEndpoints(core=facts.core, account=facts.account),
                auth_config=TokenProviderConf(
                    token_endpoint=facts.token_endpoint,
                    public_client_id="test",
                    audience="tweezer",
                    realm="tweezer",
                    grant_type="password",
                ),
            )
        )
    return found


def test_they_are_one_installation(machines: Machines, tmp_path: Path) -> None:
    one, other = clients(machines, tmp_path / "first")
    program = max_independent_set.program().as_request("")
    jobs = [{"runs": 10, "variables": program["jobs"][0].get("variables")} for _ in range(JOBS)]
    batch = one.create_batch(program["sequence_builder"], jobs, device_type="EMU_FREE", open=True)
    # Each request may come to another gateway, and from there to another replica.
    assert other.get_batch(batch.id).id == batch.id
    for name in ("batch", "job"):
        process = machines.running[machines.ports[name][0]]
        process.send_signal(signal.SIGKILL)
        process.wait(60)
    seen = other.get_batch(batch.id)
    seen.close(wait=True)
    assert Counter(job.status for job in seen.ordered_jobs) == {"DONE": JOBS}
    for job in seen.ordered_jobs:
        assert sum(job.full_result["counter"].values()) == 10
    # Nothing was made but what is each one's own.
    for name, port in [(name, port) for name, ports in machines.ports.items() for port in ports]:
        own = machines.root / f"{name}-{port}"
        assert {file.name for file in own.rglob("*")} <= {"messages.log", "audit.log"}
    said = machines.said()
    secret = [
        line
        for name in ("service.key", "webhooks.key", "result-tickets.key", "signing.pem")
        for line in (machines.keys / name).read_text().splitlines()
        if "-----" not in line
    ]
    for hidden in (*secret, *CREDENTIALS.values(), "X-Amz-"):
        assert hidden not in said
