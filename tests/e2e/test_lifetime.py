"""Starting, stopping and dying: what becomes of the processes and of the work."""

import asyncio
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from free_ports import free_port
from readiness import grpc_ready

from tweezer.cli.ports import address
from tweezer.cli.programs import afm_sweep
from tweezer.v1.batch_pb2 import BatchStatus
from tweezer.v1.batch_service_pb2 import WatchBatchRequest
from tweezer.v1.batch_service_pb2_grpc import BatchServiceStub

PATIENCE = 120

#: Jobs of a batch that is interrupted: some seconds of work, also where a job takes a tenth of one.
JOBS = 30

Run = Callable[..., subprocess.CompletedProcess[str]]

#: 127.0.0.1 as the kernel's tables of IPv4 and IPv6 sockets write it.
LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F"}


def ends(process_id: int) -> bool:
    """Tells whether a process is gone, or goes within some seconds."""
    try:
        descriptor = os.pidfd_open(process_id)
    except ProcessLookupError:
        return True
    try:
        readable, _, _ = select.select([descriptor], [], [], 30)
        return bool(readable)
    finally:
        os.close(descriptor)


def submit(stack: Any, jobs: int) -> str:
    """Creates a batch of jobs that take a tenth of a second or more each."""
    body = afm_sweep.program().as_request(stack.facts["project_id"])
    body["jobs"] = [
        {"runs": 100 + n, "variables": {"final_detuning": 1.0 + n / 10}} for n in range(jobs)
    ]
    with stack.api() as api:
        return api.post("/api/v1/batches", json=body).raise_for_status().json()["data"]["id"]


def states(stack: Any, batch_id: str, token: str) -> Iterator[Any]:
    """Follows a batch over gRPC until it is final, also while the service is started again."""
    with grpc.insecure_channel(stack.facts["grpc"]["batch"]) as channel:
        while True:
            try:
                yield from BatchServiceStub(channel).WatchBatch(
                    WatchBatchRequest(batch_id=batch_id),
                    metadata=(("authorization", f"Bearer {token}"),),
                    timeout=PATIENCE,
                    wait_for_ready=True,
                )
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
            else:
                return


def wait_until_some_are_done(stack: Any, batch_id: str) -> None:
    """Returns when some jobs of the batch are done and others are not."""
    for state in states(stack, batch_id, stack.token()):
        if state.job_counts.done >= 2:
            assert state.status == BatchStatus.BATCH_STATUS_RUNNING
            assert state.job_counts.pending + state.job_counts.running > 0
            return
    raise AssertionError("the batch is final")


def jobs_of(stack: Any, batch_id: str, token: str | None = None) -> list[dict[str, Any]]:
    with stack.api(token) as api:
        query = {"batch_id": batch_id, "order_by": "creation_order", "order_by_direction": "ASC"}
        return api.get("/api/v2/jobs", params=query).raise_for_status().json()["data"]


def check_finished(stack: Any, batch_id: str, jobs: int, token: str | None = None) -> None:
    """Waits for the end of the batch and checks that each job has its result."""
    token = token or stack.token()
    last = list(states(stack, batch_id, token))[-1]
    assert last.status == BatchStatus.BATCH_STATUS_DONE
    assert last.job_counts.done == jobs
    with stack.api(token) as api:
        for n, job in enumerate(jobs_of(stack, batch_id, token)):
            link = api.get(f"/api/v1/jobs/{job['id']}/results_link").json()["data"]["results_link"]
            counter = (
                api.get(link, headers={"Authorization": ""}).raise_for_status().json()["counter"]
            )
            assert sum(counter.values()) == 100 + n


def test_the_announcement_says_how_to_connect_and_how_to_stop(stack: Any):
    for fact in ("username", "password", "project_id"):
        assert stack.facts[fact] in stack.announcement
    for grpc_address in stack.facts["grpc"].values():
        assert grpc_address in stack.announcement
    assert stack.facts["core"].removesuffix("/core-fast") in stack.announcement
    assert "Ctrl-C" in stack.announcement


def test_only_the_owner_can_read_the_password(stack: Any):
    assert (stack.data_dir / "connection.json").stat().st_mode & 0o777 == 0o600


def test_it_listens_on_loopback_only(stack: Any):
    ports = {int(where.rsplit(":", 1)[1]) for where in stack.facts["grpc"].values()}
    ports.add(int(stack.facts["core"].split(":")[2].split("/")[0]))
    lines = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path("/proc/net", table).read_text().splitlines()[1:]
    ]
    listening = {}
    for _, local, _, state, *_ in lines:
        host, port = local.split(":")
        if state == "0A" and int(port, 16) in ports:
            listening[int(port, 16)] = host
    assert listening.keys() == ports
    assert set(listening.values()) <= LOOPBACK


def test_a_second_one_on_the_same_data_folder_is_refused(stack: Any, run_command: Run):
    second = run_command("tweezer", "up", "--data-dir", str(stack.data_dir))
    assert second.returncode == 1
    assert f"process {stack.process.pid}" in second.stderr
    assert "--data-dir" in second.stderr


@pytest.mark.parametrize("option", ["--port", "--batch-port", "--job-port"])
def test_a_port_in_use_names_its_option(option: str, tmp_path: Path, run_command: Run):
    free = [
        word
        for other in ("--port", "--batch-port", "--job-port")
        if other != option
        for word in (other, "0")
    ]
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        answer = run_command("tweezer", "up", "--data-dir", str(tmp_path), *free, option, str(port))
    assert answer.returncode == 1
    assert f"port {port} is in use" in answer.stderr
    assert option in answer.stderr


def test_serve_runs_one_process_in_the_foreground(tmp_path: Path):
    where = address("127.0.0.1", free_port())
    tweezer = str(Path(sys.executable).with_name("tweezer"))
    with subprocess.Popen(
        [tweezer, "serve", "job", "--data-dir", str(tmp_path)],
        env={**os.environ, "TWEEZER_JOB_LISTEN": where},
    ) as process:
        asyncio.run(asyncio.wait_for(grpc_ready(where), PATIENCE))
        assert b"tweezer.job" in Path(f"/proc/{process.pid}/cmdline").read_bytes().split(b"\0")
        process.terminate()
    assert process.returncode == 0
    assert (tmp_path / "job.db").exists()


def test_ctrl_c_stops_everything_and_leaves_nothing(
    start_stack: Callable[..., Any], tmp_path: Path
):
    stack = start_stack(tmp_path / "data", "--workers", "1")
    members = stack.members()
    assert len(members) >= 4
    # The members have sessions of their own: Ctrl-C reaches the command alone.
    assert all(os.getsid(member) != os.getsid(stack.process.pid) for member in members)
    stack.signal_terminal(signal.SIGINT)
    assert stack.wait() == 0
    assert all(ends(member) for member in members)
    assert not (stack.data_dir / "endpoints.json").exists()
    assert "Traceback" not in stack.messages.read_text()


@pytest.mark.slow
def test_stopping_while_a_batch_runs_and_starting_again_finishes_it(
    start_stack: Callable[..., Any], tmp_path: Path
):
    stack = start_stack(tmp_path / "data", "--workers", "1")
    batch_id = submit(stack, jobs=JOBS)
    wait_until_some_are_done(stack, batch_id)
    members = stack.members()
    assert stack.stop() == 0
    assert all(ends(member) for member in members)
    assert "Traceback" not in stack.messages.read_text()

    again = start_stack(tmp_path / "data", "--workers", "1")
    assert again.facts["password"] == stack.facts["password"]
    check_finished(again, batch_id, jobs=JOBS)


@pytest.mark.slow
def test_kill_9_leaves_no_process_and_loses_no_work(
    start_stack: Callable[..., Any], tmp_path: Path
):
    stack = start_stack(tmp_path / "data", "--workers", "1")
    batch_id = submit(stack, jobs=JOBS)
    wait_until_some_are_done(stack, batch_id)
    done = {job["id"]: job for job in jobs_of(stack, batch_id) if job["status"] == "DONE"}
    assert done
    members = stack.members()
    stack.process.kill()
    assert stack.wait() == -signal.SIGKILL
    assert all(ends(member) for member in members)

    again = start_stack(tmp_path / "data", "--workers", "1")
    check_finished(again, batch_id, jobs=JOBS)
    after = {job["id"]: job for job in jobs_of(again, batch_id)}
    for job_id, before in done.items():
        assert after[job_id]["end_timestamp"] == before["end_timestamp"]


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["gateway", "batch", "job", "execution"])
def test_a_process_that_is_killed_is_started_again_and_the_batch_finishes(
    victim: str, start_stack: Callable[..., Any], tmp_path: Path
):
    stack = start_stack(tmp_path / "data", "--workers", "1")
    token = stack.token()
    batch_id = submit(stack, jobs=JOBS)
    wait_until_some_are_done(stack, batch_id)
    os.kill(process_of(stack, victim), signal.SIGKILL)
    check_finished(stack, batch_id, jobs=JOBS, token=token)
    assert f"{victim} was ended by signal 9; starting it again" in stack.messages.read_text()
    assert stack.stop() == 0


def process_of(stack: Any, name: str) -> int:
    """Returns the process of the stack that runs a module."""
    for member in stack.members():
        words = Path(f"/proc/{member}/cmdline").read_bytes().split(b"\0")
        if f"tweezer.{name}".encode() in words:
            return member
    raise AssertionError(f"{name} does not run")
