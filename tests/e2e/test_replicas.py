"""Two of each service on one PostgreSQL server, behind addresses that stand for both."""

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

import psycopg
import pytest
from free_ports import free_ports
from pasqal_cloud.endpoints import Endpoints as ClientEndpoints
from pasqal_cloud.endpoints import TokenProviderConf
from pasqal_cloud.pasqal_cloud_client import PasqalCloudClient
from pulser import MockDevice, Pulse, Register, Sequence
from readiness import grpc_ready, http_ready

from tweezer.cli.endpoints import Endpoints
from tweezer.cli.facts import Account, connection_facts
from tweezer.identity.bootstrap import bootstrap
from tweezer.identity.settings import IdentitySettings

pytestmark = pytest.mark.slow

REPLICAS = 2
JOBS = 40


class Replicas:
    """Processes as an operator starts them, with what they share."""

    def __init__(self, data_dir: Path, urls: dict[str, str], processes: ExitStack) -> None:
        self.data_dir, self.urls, self._processes = data_dir, urls, processes
        data_dir.mkdir()
        ports = free_ports(3 * REPLICAS + 1)
        self.gateway, of = ports.pop(), iter(ports)
        self.ports = {
            name: [next(of) for _ in range(REPLICAS)] for name in ("batch", "job", "execution")
        }
        self.running: dict[tuple[str, int], subprocess.Popen[bytes]] = {}
        settings: dict[str, Any] = {"identity_database_url": urls["TWEEZER_IDENTITY_DATABASE_URL"]}
        login = bootstrap(IdentitySettings(data_dir=data_dir, **settings))
        assert login is not None
        account = Account(login.username, login.password, login.project_id)
        where = Endpoints(
            url=f"http://127.0.0.1:{self.gateway}", batch=self._both("batch"), job=self._both("job")
        )
        self.url, self.facts = where.url, connection_facts(account, where)

    def _both(self, name: str) -> str:
        return "ipv4:" + ",".join(f"127.0.0.1:{port}" for port in self.ports[name])

    def start(self, name: str, port: int) -> None:
        environment = {
            **os.environ,
            **self.urls,
            "TWEEZER_DATA_DIR": str(self.data_dir),
            "TWEEZER_BATCH_ADDRESS": self._both("batch"),
            "TWEEZER_JOB_ADDRESS": self._both("job"),
            "TWEEZER_EXECUTION_WORKERS": "1",
            "TWEEZER_GATEWAY_PORT": str(self.gateway),
            f"TWEEZER_{name.upper()}_LISTEN": f"127.0.0.1:{port}",
        }
        log = self._processes.enter_context(
            (self.data_dir / f"{name}-{port}.log").open("ab", buffering=0)
        )
        process = subprocess.Popen(
            [str(Path(sys.executable).with_name("tweezer")), "serve", name],
            env=environment,
            stdout=log,
            stderr=log,
        )
        self._processes.callback(self.stop, process)
        self.running[name, port] = process

    @staticmethod
    def stop(process: subprocess.Popen[bytes]) -> None:
        process.terminate()
        process.wait(60)

    async def all_ready(self) -> None:
        async with asyncio.timeout(120):
            for name, ports in self.ports.items():
                for port in ports:
                    if self.running[name, port].poll() is None:
                        await grpc_ready(f"127.0.0.1:{port}")
            await http_ready(f"{self.url}/ready")

    def kill_one(self, name: str) -> None:
        process = self.running[name, self.ports[name][0]]
        process.send_signal(signal.SIGKILL)
        process.wait(60)

    def client(self) -> PasqalCloudClient:
        facts = self.facts
        return PasqalCloudClient(
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


@pytest.fixture
def replicas(tmp_path: Path, postgres_server: Any) -> Iterator[Replicas]:
    made = {name: postgres_server.empty() for name in ("BATCH", "IDENTITY", "JOB")}
    urls = {
        f"TWEEZER_{name}_DATABASE_URL": url.set(drivername="postgresql").render_as_string(
            hide_password=False
        )
        for name, url in made.items()
    }
    with ExitStack() as processes:
        replicas = Replicas(tmp_path / "data", urls, processes)
        for name, ports in replicas.ports.items():
            for port in ports:
                replicas.start(name, port)
        replicas.start("gateway", replicas.gateway)
        asyncio.run(replicas.all_ready())
        yield replicas
    for url in made.values():
        postgres_server.drop(url)


def sequence() -> str:
    made = Sequence(Register.square(2, spacing=6, prefix="q"), MockDevice)
    made.declare_channel("ch", "rydberg_global")
    made.add(Pulse.ConstantPulse(200, 3, 0, 0), "ch")
    made.measure("ground-rydberg")
    return made.to_abstract_repr()


def test_one_of_each_service_can_be_lost(replicas: Replicas) -> None:
    client = replicas.client()
    program, jobs = sequence(), [{"runs": 10} for _ in range(JOBS)]
    first = client.create_batch(program, jobs, device_type="EMU_FREE", wait=True)
    assert Counter(job.status for job in first.ordered_jobs) == {"DONE": JOBS}
    growing = client.create_batch(program, jobs, device_type="EMU_FREE", open=True)
    for name in ("batch", "job"):
        replicas.kill_one(name)
    growing.add_jobs([{"runs": 10}])
    growing.close(wait=True)
    assert Counter(job.status for job in growing.ordered_jobs) == {"DONE": JOBS + 1}
    cancelled = client.create_batch(program, jobs, device_type="EMU_FREE")
    client.cancel_batch(cancelled.id)
    with psycopg.connect(replicas.urls["TWEEZER_JOB_DATABASE_URL"]) as connection:
        twice = connection.execute("SELECT count(*) FROM job WHERE attempt > 1").fetchone()
    assert twice == (0,)
