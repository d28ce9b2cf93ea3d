"""The service as a process: `python -m tweezer.batch`."""

import asyncio
import os
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from free_ports import free_port
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tweezer.v1.batch_service_pb2 import GetBatchRequest
from tweezer.v1.device_service_pb2 import ListPublicDevicesRequest


@pytest.fixture
def port():
    return free_port()


def environment(place, port):
    urls = {"BATCH": place.settings.batch_database, "IDENTITY": place.settings.identity_database}
    return {
        **os.environ,
        **{
            f"TWEEZER_{name}_DATABASE_URL": url.render_as_string(hide_password=False)
            for name, url in urls.items()
        },
        "TWEEZER_DATA_DIR": str(place.settings.data_dir),
        "TWEEZER_BATCH_LISTEN": f"127.0.0.1:{port}",
        "TWEEZER_JOB_ADDRESS": place.settings.job_address,
        "TWEEZER_STOP_GRACE_S": "2",
    }


@asynccontextmanager
async def process(place, port):
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tweezer.batch"),
        env={**environment(place, port), "TWEEZER_STOP_ON_STDIN_CLOSE": "true"},
        stdin=asyncio.subprocess.PIPE,
    )
    try:
        async with place.connected(port) as stubs:
            # Waits until the server is there, and for no longer.
            await stubs.devices.ListPublicDevices(
                ListPublicDevicesRequest(), wait_for_ready=True, timeout=60
            )
            yield process, stubs
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_it_serves_and_says_that_it_is_well(place, port):
    async with process(place, port), grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for name in (
            "",
            "tweezer.v1.BatchService",
            "tweezer.v1.DeviceService",
            "tweezer.v1.OperatorService",
            "tweezer.v1.AccountService",
            "tweezer.internal.v1.ProgressService",
            "tweezer.internal.v1.ProgramService",
        ):
            answer = await health.Check(health_pb2.HealthCheckRequest(service=name))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
@pytest.mark.parametrize("way", ["SIGTERM", "SIGINT", "supervisor gone"])
async def test_it_stops_cleanly(place, port, way):
    async with process(place, port) as (running, _):
        children = child_processes(running.pid)
        assert children
        if way == "supervisor gone":
            running.stdin.close()
        else:
            running.send_signal(getattr(signal, way))
        assert await asyncio.wait_for(running.wait(), 60) == 0
        assert not any(lives(child) for child in children)


async def test_a_kill_loses_no_batch_that_was_answered(place, port, new_batch, user):
    place.queue.refuse_intents = lambda _: grpc.StatusCode.UNAVAILABLE
    async with process(place, port) as (running, stubs):
        created = await stubs.batches.CreateBatch(new_batch(), metadata=user.metadata)
        running.kill()
        await running.wait()
    place.queue.refuse_intents = lambda _: None
    async with process(place, port) as (_, stubs):
        intent = await place.queue.next_intent()
        assert intent.batch_id == created.batch.id
        read = await stubs.batches.GetBatch(
            GetBatchRequest(batch_id=created.batch.id), metadata=user.metadata
        )
        assert read.batch == created.batch


async def test_it_says_when_it_cannot_listen(place, port):
    async with process(place, port):
        second = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tweezer.batch"),
            env=environment(place, port),
            stderr=asyncio.subprocess.PIPE,
        )
        _, errors = await asyncio.wait_for(second.communicate(), 60)
        assert second.returncode == 1
        assert f"cannot listen on 127.0.0.1:{port}" in errors.decode()


def child_processes(pid):
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split() or [
        child
        for task in Path(f"/proc/{pid}/task").iterdir()
        for child in (task / "children").read_text().split()
    ]


def lives(pid):
    return Path(f"/proc/{pid}").exists()
