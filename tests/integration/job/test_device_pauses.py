"""Devices that an operator holds back."""

import asyncio

import grpc
import pytest

from tweezer.internal.v1 import queue_service_pb2 as pb
from tweezer.job.store import leases, pauses


async def test_nothing_of_a_paused_device_is_leased(process) -> None:
    await process.add(2)
    other = await process.add(1, device_type="EMU_MPS")
    await process.pause_devices(EMU_FREE=True, EMU_MPS=False)
    assert await process.lease(5) == []
    leased = await process.lease(5, devices=["EMU_FREE", "EMU_MPS"])
    assert [lease.job_id for lease in leased] == [other.jobs[0].id]


async def test_a_waiting_worker_is_woken_when_a_device_goes_on(process) -> None:
    added = await process.add(1)
    await process.pause_devices(EMU_FREE=True)
    task = asyncio.create_task(process.lease(wait=60))
    await asyncio.sleep(0)
    assert await process.lease() == []
    assert not task.done()
    await process.pause_devices()
    assert [lease.job_id for lease in await task] == [added.jobs[0].id]


async def test_what_runs_goes_on(process) -> None:
    await process.add(1)
    (lease,) = await process.lease()
    await process.pause_devices(EMU_FREE=True)
    assert await process.renew(lease.token) == []
    assert await process.finish(lease.token, result=b"{}")


async def test_pauses_survive_a_restart(run_jobs) -> None:
    async with run_jobs() as process:
        await process.add(1)
        await process.pause_devices(EMU_FREE=True)
    async with run_jobs() as process:
        assert await process.lease() == []


def test_pauses_are_the_whole_of_it(tables) -> None:
    replaced = [
        tables(lambda c, paused=paused: pauses.replace(c, paused))
        for paused in ({"A", "B"}, {"A", "B"}, {"B", "C"}, set())
    ]
    assert replaced == [False, False, True, True]
    tables(lambda c: pauses.replace(c, {"B"}))
    assert tables(lambda c: pauses.served(c, ["C", "B", "A"])) == ["C", "A"]


def test_an_exclusive_device_is_held_back_too(tables) -> None:
    tables.add(1, device_type="FRESNEL", exclusive=True)
    tables(lambda c: pauses.replace(c, {"FRESNEL"}))
    assert tables(lambda c: leases.take(c, ["FRESNEL", "EMU_FREE"], 5, 9, 1)) == []


async def test_a_pause_names_a_device(process) -> None:
    request = pb.ApplyDevicePausesRequest(pauses=[pb.DevicePause(paused=True)])
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await process.queue.ApplyDevicePauses(request)
    assert refused.value.details() == "pauses[0].device_type: is missing."
