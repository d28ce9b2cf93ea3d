"""The gateway as a process of its own."""

import json
import os
import signal
import subprocess
import sys

import httpx
import pytest


@pytest.fixture
def start(batch_server, job_server):
    """Starts the process on a port and kills it if the test leaves it running."""
    started = []

    def start(port):
        process = subprocess.Popen(
            [sys.executable, "-m", "tweezer.gateway"],
            env={
                **os.environ,
                "TWEEZER_GATEWAY_PORT": str(port),
                "TWEEZER_BATCH_ADDRESS": batch_server.address,
                "TWEEZER_JOB_ADDRESS": job_server.address,
                "TWEEZER_LOG_FORMAT": "json",
            },
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stderr.close()


def _port_from_log(process):
    for line in process.stderr:
        entry = json.loads(line)
        if entry["event"] == "listening":
            return entry["port"]
    raise AssertionError("it never listened")


async def test_it_serves_until_it_is_told_to_stop(start, in_thread):
    process = start(0)
    port = await in_thread(_port_from_log, process)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        response = await client.get("/health")

    assert response.status_code == 200
    process.send_signal(signal.SIGTERM)
    assert await in_thread(process.wait) == 0


async def test_it_says_that_its_port_is_taken(start, in_thread):
    port = await in_thread(_port_from_log, start(0))
    second = start(port)

    _, errors = await in_thread(second.communicate)

    assert second.returncode == 1
    assert f"tweezer gateway: cannot listen on 127.0.0.1:{port}" in errors
    assert "Traceback" not in errors
