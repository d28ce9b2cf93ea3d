"""A whole stack with TLS everywhere, by one option; and where links to results do not appear."""

import json
import os
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from tweezer.cli.programs import max_independent_set
from tweezer.internal.v1.program_service_pb2 import GetProgramRequest
from tweezer.internal.v1.program_service_pb2_grpc import ProgramServiceStub

pytestmark = pytest.mark.slow

TWEEZER = str(Path(sys.executable).parent / "tweezer")


@pytest.fixture(scope="module")
def secure(start_stack, tmp_path_factory):
    return start_stack(
        tmp_path_factory.mktemp("tls") / "data",
        "--tls",
        "--workers",
        "1",
        TWEEZER_LOG_LEVEL="debug",
    )


@pytest.fixture
def http(secure):
    trusted = ssl.create_default_context(cafile=secure.facts["ca_file"])
    with httpx.Client(verify=trusted, trust_env=False, timeout=30) as http:
        login = {
            "grant_type": "password",
            "client_id": "test",
            "username": secure.facts["username"],
            "password": secure.facts["password"],
        }
        answer = http.post(secure.facts["token_endpoint"], data=login).raise_for_status()
        http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        http.base_url = secure.facts["core"]
        yield http


def finished_job(http: httpx.Client, project_id: str) -> str:
    """Runs a small batch and returns the identifier of its first job."""
    body: dict[str, Any] = max_independent_set.program().as_request(project_id)
    body["jobs"] = body["jobs"][:1]
    batch = http.post("/api/v1/batches", json=body).raise_for_status().json()["data"]
    last: dict[str, Any] = {}
    with http.stream("GET", f"/api/v1/batches/{batch['id']}/events", timeout=120) as events:
        for line in events.iter_lines():
            if line.startswith("data: "):
                last = json.loads(line.removeprefix("data: "))
    assert last["status"] == "DONE"
    jobs = http.get("/api/v2/jobs", params={"batch_id": batch["id"]}).json()["data"]
    return str(jobs[0]["id"])


def tampered(link: str) -> str:
    """Changes one letter of the signature."""
    return link[:-10] + ("A" if link[-10] != "A" else "B") + link[-9:]


def everything_said(secure) -> str:
    """Returns the messages of all processes, and every file of text in the data folder."""
    said = [secure.messages.read_text()]
    for file in secure.data_dir.rglob("*"):
        if file.is_file() and file.suffix in (".log", ".json", ".txt"):
            said.append(file.read_text())
    return "\n".join(said)


def test_a_program_runs_and_its_link_appears_nowhere_else(secure, http):
    job_id = finished_job(http, secure.facts["project_id"])
    link = http.get(f"/api/v1/jobs/{job_id}/results_link").json()["data"]["results_link"]
    assert link.startswith("https://")
    ticket = link.rpartition("/")[2]
    del http.headers["Authorization"]

    assert "counter" in http.get(link).raise_for_status().json()
    for wrong in (tampered(link), link[:-1], f"{link}x", link.replace(ticket, "x" * 40)):
        answer = http.get(wrong)
        assert answer.status_code == 404
        assert answer.json()["data"]["description"] == "this link is not valid or has expired"
    # Also where something goes wrong on the way.
    with http.stream("GET", link):
        pass
    http.get(link, headers={"X-Request-ID": "the-last-one"})

    said = everything_said(secure)
    assert "DownloadResult" in said  # the messages tell of downloads
    for secret in (ticket, ticket.split(".")[2], tampered(ticket)):
        assert secret not in said
    assert secure.facts["password"] not in secure.messages.read_text()


def test_nothing_secret_is_in_the_list_of_processes(secure):
    lines = "\n".join(
        Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ") for pid in secure.members()
    )
    assert "tweezer.gateway" in lines
    secrets = [secure.facts["password"]]
    secrets += [file.read_text() for file in (secure.data_dir / "keys").glob("*.key")]
    assert len(secrets) > 1
    for secret in secrets:
        assert secret not in lines


def test_every_port_speaks_tls_only(secure):
    url = secure.facts["core"].replace("https:", "http:")
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{url}/api/v1/devices", trust_env=False)
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(f"{secure.facts['core']}/api/v1/devices", trust_env=False)
    for address in secure.facts["grpc"].values():
        with grpc.insecure_channel(address) as channel, pytest.raises(grpc.FutureTimeoutError):
            grpc.channel_ready_future(channel).result(2)


def test_there_is_no_service_key_and_no_way_in_without_a_certificate(secure):
    assert not (secure.data_dir / "keys" / "service.key").exists()
    authority = Path(secure.facts["ca_file"]).read_bytes()
    trusted = grpc.ssl_channel_credentials(authority)
    with (
        grpc.secure_channel(secure.facts["grpc"]["batch"], trusted) as channel,
        pytest.raises(grpc.RpcError) as caught,
    ):
        ProgramServiceStub(channel).GetProgram(GetProgramRequest(), timeout=20)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_commands_find_the_authority(secure, run_command):
    for words in (("devices", "pause", "EMU_FREE"), ("devices", "resume", "EMU_FREE")):
        answer = run_command(TWEEZER, *words, "--data-dir", str(secure.data_dir))
        assert answer.returncode == 0, answer.stderr


def test_the_demo_and_the_public_client_work_through_it(secure, run_command):
    answer = run_command(TWEEZER, "demo", "--data-dir", str(secure.data_dir))
    assert answer.returncode == 0, answer.stderr
    script = """
import json, sys
from pasqal_cloud.endpoints import Endpoints, TokenProviderConf
from pasqal_cloud.pasqal_cloud_client import PasqalCloudClient

facts = json.load(sys.stdin)
client = PasqalCloudClient(
    username=facts["username"],
    password=facts["password"],
    project_id=facts["project_id"],
    endpoints=Endpoints(core=facts["core"], account=facts["account"]),
    auth_config=TokenProviderConf(
        token_endpoint=facts["token_endpoint"],
        public_client_id="test",
        audience="tweezer",
        realm="tweezer",
        grant_type="password",
    ),
)
print(sorted(client.get_device_specs_dict()))
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        input=json.dumps(secure.facts),
        env={**os.environ, "REQUESTS_CA_BUNDLE": secure.facts["ca_file"]},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("[")
