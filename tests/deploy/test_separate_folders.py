"""Processes that share no folder, each with the keys that Kubernetes gives it, are one system."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from deployments import objects, of_kubernetes, pods
from free_ports import free_ports

from tweezer.cli.new_keys import make_keys
from tweezer.cli.programs import afm_sweep

pytestmark = pytest.mark.slow

PATIENCE_S = 120.0

TWEEZER = str(Path(sys.executable).with_name("tweezer"))


class Place:
    """What the manifests say, with folders and ports of this machine."""

    def __init__(self, folder: Path, processes: ExitStack) -> None:
        self.folder, self._processes = folder, processes
        make_keys(folder / "seed")
        names = ("batch", "job", "execution", "gateway")
        self.ports = dict(zip(names, free_ports(len(names)), strict=True))
        self.declared = {
            each.command[1]: each for each in of_kubernetes() if len(each.command) == 2
        }
        self.pods = dict(pods())
        self.url = f"http://127.0.0.1:{self.ports['gateway']}"

    def start(self, name: str) -> None:
        own = self.folder / name
        (own / "keys").mkdir(parents=True)
        (own / "data").mkdir()
        self._mount(self.pods[f"tweezer-{name}"]["volumes"], own)
        log = self._processes.enter_context((own / "log").open("wb"))
        process = subprocess.Popen(
            [TWEEZER, "serve", name], env=self.environment(name), stdout=log, stderr=log
        )
        self._processes.callback(self._stop, process)

    def environment(self, name: str) -> dict[str, str]:
        own = self.folder / name
        given = {
            key: value.replace("/etc/tweezer/keys", str(own / "keys"))
            for key, value in self.declared[name].environment.items()
            if key.startswith("TWEEZER_") and "METRICS" not in key
        }
        here = {
            "TWEEZER_DATA_DIR": str(own / "data"),
            "TWEEZER_RESULT_STORE_URL": f"file://{self.folder / 'results'}",
            "TWEEZER_BATCH_ADDRESS": f"127.0.0.1:{self.ports['batch']}",
            "TWEEZER_JOB_ADDRESS": f"127.0.0.1:{self.ports['job']}",
            f"TWEEZER_{name.upper()}_LISTEN": f"127.0.0.1:{self.ports[name]}",
            "TWEEZER_GATEWAY_HOST": "127.0.0.1",
            "TWEEZER_GATEWAY_PORT": str(self.ports["gateway"]),
        }
        databases = {
            key: f"sqlite:///{self.folder / key.lower()}"
            for key in given
            if key.endswith("_DATABASE_URL")
        }
        return {**os.environ, **given, **here, **databases}

    def _mount(self, volumes: list[dict[str, Any]], own: Path) -> None:
        """Gives what the pod gets from secrets, as they are there: only to be read."""
        for volume in volumes:
            if volume["name"] == "keys":
                for item in volume["secret"]["items"]:
                    shutil.copy(self.folder / "seed" / "keys" / item["key"], own / "keys")
            elif volume["name"] == "first-user":
                shutil.copy(self.folder / "seed" / "connection.json", own / "data")
        (own / "keys").chmod(0o500)

    @staticmethod
    def _stop(process: subprocess.Popen[bytes]) -> None:
        process.terminate()
        assert process.wait(60) == 0

    def ready(self, name: str) -> None:
        """Waits until a process serves, by the command that does so in containers."""
        deadline = time.monotonic() + PATIENCE_S
        command = [TWEEZER, "ready", name]
        while subprocess.run(command, env=self.environment(name), capture_output=True).returncode:
            log = (self.folder / name / "log").read_text()
            assert time.monotonic() < deadline, log


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with ExitStack() as processes:
        yield Place(tmp_path, processes)


def test_they_are_one_system(place: Place) -> None:
    assert {each["metadata"]["name"] for each in objects("Deployment")} == {
        f"tweezer-{name}" for name in place.ports
    }
    for name in ("batch", "job", "execution", "gateway"):
        place.start(name)
    for name in place.ports:
        place.ready(name)
    login = orjson.loads((place.folder / "seed" / "connection.json").read_bytes())
    with httpx.Client(base_url=place.url, timeout=60, trust_env=False) as client:
        form = {"client_id": "test", "grant_type": "password"}
        form |= {"username": login["username"], "password": login["password"]}
        token = client.post("/oauth/token", data=form).raise_for_status().json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        body = afm_sweep.program().as_request(login["project_id"])
        body["jobs"] = body["jobs"][:2]
        made = client.post("/core-fast/api/v1/batches", json=body).raise_for_status().json()["data"]
        with client.stream("GET", f"/core-fast/api/v1/batches/{made['id']}/events") as events:
            last = [line for line in events.iter_lines() if line.startswith("data:")][-1]
    assert orjson.loads(last[5:])["jobs_count_per_status"] == {"DONE": 2}
    # An operator's command in the pod of the batch service.
    users = subprocess.run(
        [TWEEZER, "users", "list"], env=place.environment("batch"), capture_output=True, text=True
    )
    assert users.returncode == 0, users.stderr
    assert login["username"] in users.stdout
