"""A whole run, logged as loudly as can be: no secret is in any log or command line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from pulser import Pulse, Register, Sequence
from pulser.devices import AnalogDevice

pytestmark = pytest.mark.slow


def flash() -> str:
    sequence = Sequence(Register({"q0": (0, 0)}).with_automatic_layout(AnalogDevice), AnalogDevice)
    sequence.declare_channel("rydberg", "rydberg_global")
    sequence.add(Pulse.ConstantPulse(100, 1.0, 0.0, 0.0), "rydberg")
    sequence.measure("ground-rydberg")
    return sequence.to_abstract_repr()


def command_lines() -> str:
    texts = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            texts.append(file.read_bytes().decode(errors="replace"))
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while we looked
    return "\n".join(texts)


def test_no_secret_is_in_any_log(
    start_stack: Callable[..., Any], run_command: Callable[..., Any], tmp_path: Path
):
    stack = start_stack(
        tmp_path / "data", "--workers", "1", TWEEZER_LOG_LEVEL="debug", TWEEZER_LOG_FORMAT="json"
    )
    data = stack.data_dir
    wrong, new_password = "a wrong word for the log", "a new word for the log"
    added = run_command(
        "bash", "-c",
        f"echo '{new_password}' | tweezer users add ada --data-dir {data}",
    )  # fmt: skip
    assert added.returncode == 0, added.stderr
    refused = httpx.post(
        stack.facts["token_endpoint"],
        data={"grant_type": "password", "username": "ada", "password": wrong},
        trust_env=False,
    )
    assert refused.status_code == 403
    token = stack.token()
    body = {
        "project_id": stack.facts["project_id"],
        "sequence_builder": flash(),
        "device_type": "EMU_FREE",
        "jobs": [{"runs": 10}],
    }
    with stack.api(token) as api:
        batch = api.post("/api/v1/batches", json=body).raise_for_status().json()["data"]
        job_id = batch["jobs"][0]["id"]
        with api.stream("GET", f"/api/v1/batches/{batch['id']}/events") as events:
            for line in events.iter_lines():
                if "DONE" in line:
                    break
        link = api.get(f"/api/v1/jobs/{job_id}/results_link").json()["data"]["results_link"]
        assert httpx.get(link, trust_env=False).status_code == 200
        spoiled = httpx.get(link[:-3] + "abc", trust_env=False)
        assert spoiled.status_code >= 400
        api.patch(f"/api/v2/batches/{batch['id']}/cancel")
    with stack.api(token[:-4] + "AAAA") as api:
        assert api.get("/api/v2/jobs").status_code == 401
    command = command_lines()
    stack.stop()

    logged = stack.messages.read_text()
    audit = (data / "audit.log").read_text()
    assert '"level": "debug"' in logged, "the run was not logged loudly"
    events = [json.loads(line)["event"] for line in audit.splitlines()]
    assert {"login", "user added", "batch created", "batch cancelled"} <= set(events)
    ticket = link.rpartition("/")[2].partition("?")[0]
    key_files = [f for f in (data / "keys").rglob("*") if f.is_file() and f.suffix != ".json"]
    assert len(key_files) >= 2
    secrets = {
        "password": stack.facts["password"],
        "wrong password": wrong,
        "new password": new_password,
        "token": token,
        "signature of the token": token.rpartition(".")[2],
        "ticket": ticket,
        **{
            f"{file.name}: {line}": line
            for file in key_files
            for line in file.read_bytes().decode("latin-1").splitlines()
            if len(line) > 20 and "-----" not in line
        },
    }
    for name, secret in secrets.items():
        assert len(secret) > 15, name
        for where, text in (("log", logged), ("audit log", audit), ("command", command)):
            assert secret not in text, f"{name} is in the {where}"
