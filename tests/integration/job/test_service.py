"""The process as a whole: start, stop, start again."""

import asyncio
import os
import shutil
import signal
import socket
import sys

import grpc
import pytest
from free_ports import free_port
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tweezer.internal.v1 import lease_service_pb2 as pb
from tweezer.internal.v1 import queue_service_pb2 as queue_pb
from tweezer.job.store import leases
from tweezer.process.run import StartFailed
from tweezer.v1 import job_pb2
from tweezer.v1 import job_service_pb2 as jobs_pb

#: How the guard answers calls without a credential, and a download without a ticket.
_REFUSALS = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.NOT_FOUND)


async def test_the_services_are_healthy(process) -> None:
    stub = health_pb2_grpc.HealthStub(process.users)
    for name in (
        "",
        "tweezer.v1.JobService",
        "tweezer.internal.v1.QueueService",
        "tweezer.internal.v1.LeaseService",
    ):
        answer = await stub.Check(health_pb2.HealthCheckRequest(service=name))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


@pytest.mark.parametrize(
    "service",
    [
        jobs_pb.DESCRIPTOR.services_by_name["JobService"],
        queue_pb.DESCRIPTOR.services_by_name["QueueService"],
        pb.DESCRIPTOR.services_by_name["LeaseService"],
    ],
    ids=lambda service: service.name,
)
async def test_every_rpc_is_served(process, service) -> None:
    assert service.methods
    for method in service.methods:
        call = process.users.unary_unary(f"/{service.full_name}/{method.name}")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call(b"")
        assert refused.value.code() in _REFUSALS, method.name


async def test_everything_is_there_after_a_restart(run_jobs, member) -> None:
    async with run_jobs() as process:
        added = await process.add(3)
        leased = await process.lease(2)
        await process.finish(leased[0].token, result=b"{}")
    async with run_jobs() as process:
        response = await process.jobs.ListJobs(jobs_pb.ListJobsRequest(), metadata=member)
        assert [job.status for job in reversed(response.jobs)] == [
            job_pb2.JOB_STATUS_DONE,
            job_pb2.JOB_STATUS_RUNNING,
            job_pb2.JOB_STATUS_PENDING,
        ]
        # A worker that lived on goes on with its lease, and repeats what it may not have got in.
        assert await process.renew(leased[1].token) == []
        assert await process.finish(leased[0].token, result=b"{}")
        assert await process.finish(leased[1].token, result=b"{}")
        (last,) = await process.lease(5)
        assert last.job_id == added.jobs[2].id
        link = jobs_pb.GetResultLinkRequest(job_id=leased[0].job_id)
        assert (await process.jobs.GetResultLink(link, metadata=member)).ticket


async def test_a_link_survives_a_restart(run_jobs, member) -> None:
    async with run_jobs() as process:
        await process.add(1)
        (lease,) = await process.lease()
        await process.finish(lease.token, result=b"{}")
        request = jobs_pb.GetResultLinkRequest(job_id=lease.job_id)
        ticket = (await process.jobs.GetResultLink(request, metadata=member)).ticket
    async with run_jobs() as process:
        call = process.jobs.DownloadResult(jobs_pb.DownloadResultRequest(ticket=ticket))
        assert [part.chunk async for part in call] == [b"{}"]


async def test_leases_that_ran_out_while_it_was_away_can_be_renewed(run_jobs, tables) -> None:
    tables.add(1)
    (batch,) = tables(lambda c: leases.take(c, ["EMU_FREE"], 1, 2_000, 1_000))
    token = batch.leases[0].token
    async with run_jobs(lease_grace_s=600) as process:
        assert await process.renew(token) == []
        assert await process.finish(token, result=b"{}")


async def test_leases_that_nobody_renews_after_a_start_run_out(run_jobs, tables) -> None:
    addition = tables.add(1)
    tables(lambda c: leases.take(c, ["EMU_FREE"], 1, 2_000, 1_000))
    async with run_jobs(lease_grace_s=0.05) as process:
        (again,) = await process.lease(wait=60)
        assert (again.job_id, again.attempt) == (addition.jobs[0].id, 2)


async def test_a_start_does_not_keep_cancelled_jobs(run_jobs, tables, batch_side) -> None:
    addition = tables.add(1)
    tables(lambda c: leases.take(c, ["EMU_FREE"], 1, 2_000, 1_000))
    tables.intend(addition.batch.id, 2, cancelled=True)
    async with run_jobs(lease_grace_s=600):
        await batch_side.until(
            lambda s: (
                addition.batch.id in s.progress
                and s.progress[addition.batch.id].job_counts.canceled == 1
            )
        )


async def test_an_address_in_use_is_told(run_jobs) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(BaseExceptionGroup) as failed:
            async with run_jobs(job_listen=address):
                raise AssertionError("it listens")
    assert failed.value.subgroup(StartFailed) is not None


async def test_the_process_starts_and_ends_on_a_signal(tmp_path, batch_server) -> None:
    address = f"127.0.0.1:{free_port()}"
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tweezer.job",
        env={
            **os.environ,
            "TWEEZER_DATA_DIR": str(tmp_path),
            "TWEEZER_JOB_LISTEN": address,
            "TWEEZER_BATCH_ADDRESS": batch_server.address,
        },
        stderr=asyncio.subprocess.PIPE,
    )
    async with grpc.aio.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service="tweezer.v1.JobService")
        answer = await stub.Check(request, wait_for_ready=True, timeout=60)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    child.send_signal(signal.SIGTERM)
    _, errors = await child.communicate()
    assert child.returncode == 0, errors.decode()
    assert (tmp_path / "job.db").exists()


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_a_killed_process_loses_nothing_it_acknowledged(
    tmp_path, batch_server, run_jobs, member
) -> None:
    async with run_jobs() as process:
        added = await process.add(20)
        held = await process.lease(20)
        half = [pb.JobOutcome(token=lease.token, result=b"{}") for lease in held[:10]]
        await process.leases.FinishJobs(pb.FinishJobsRequest(outcomes=half))
        # As a kill leaves it: the files as they are, nothing closed.
        copy = tmp_path / "copy"
        copy.mkdir()
        for name in ("job.db", "job.db-wal"):
            (copy / name).write_bytes((tmp_path / name).read_bytes())
    shutil.copytree(tmp_path / "results", copy / "results")
    shutil.copytree(tmp_path / "keys", copy / "keys")
    async with run_jobs(data_dir=copy) as process:
        response = await process.jobs.ListJobs(jobs_pb.ListJobsRequest(), metadata=member)
        assert response.total_size == len(added.jobs)
        done = [job.id for job in response.jobs if job.status == job_pb2.JOB_STATUS_DONE]
        assert sorted(done) == sorted(lease.job_id for lease in held[:10])
        again = await process.leases.FinishJobs(pb.FinishJobsRequest(outcomes=half))
        assert list(again.refused_tokens) == []
