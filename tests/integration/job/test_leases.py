"""Who gets which job, when."""

import asyncio
import uuid

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from tweezer.internal.v1 import lease_service_pb2 as pb
from tweezer.job.store import leases
from tweezer.v1 import batch_pb2, job_pb2
from tweezer.v1 import job_service_pb2 as jobs_pb

BY_URGENCY = (
    batch_pb2.QUEUE_PRIORITY_CRITICAL,
    batch_pb2.QUEUE_PRIORITY_HIGH,
    batch_pb2.QUEUE_PRIORITY_MEDIUM,
    batch_pb2.QUEUE_PRIORITY_LOW,
    batch_pb2.QUEUE_PRIORITY_FREE,
)


def take(tables, jobs: int, *devices: str) -> list[leases.LeasedBatch]:
    return tables(lambda c: leases.take(c, devices or ["EMU_FREE"], jobs, 9_000, 2_000))


def test_urgent_queues_come_first_then_age(tables) -> None:
    for at_once in (1, 2, 4):
        added = [tables.add(1, queue_rank=rank).batch.id for rank in (3, 5, 1, 3)]
        leased = [batch.batch_id for _ in range(0, 4, at_once) for batch in take(tables, at_once)]
        assert leased == [added[2], added[0], added[3], added[1]]


def test_jobs_of_a_batch_come_in_creation_order(tables) -> None:
    addition = tables.add(5)
    ids = [job.id for job in addition.jobs]
    assert [lease.job_id for batch in take(tables, 3) for lease in batch.leases] == ids[:3]
    assert [lease.job_id for batch in take(tables, 3) for lease in batch.leases] == ids[3:]


def test_only_the_named_devices_are_served(tables) -> None:
    free, tensor = tables.add(1), tables.add(1, device_type="EMU_MPS")
    assert [batch.batch_id for batch in take(tables, 5, "EMU_MPS")] == [tensor.batch.id]
    assert take(tables, 5, "FRESNEL") == []
    assert [batch.batch_id for batch in take(tables, 5)] == [free.batch.id]


def test_several_devices_are_served_by_urgency_and_age(tables) -> None:
    slow = tables.add(2, device_type="EMU_MPS", queue_rank=4)
    old = tables.add(2, device_type="EMU_FREE", queue_rank=2)
    new = tables.add(2, device_type="EMU_MPS", queue_rank=2)
    tables.add(2, device_type="EMU_SV", queue_rank=1)
    batches = take(tables, 3, "EMU_FREE", "EMU_MPS")
    assert [batch.batch_id for batch in batches] == [old.batch.id, new.batch.id]
    assert [len(batch.leases) for batch in batches] == [2, 1]
    batches = take(tables, 2, "EMU_FREE", "EMU_MPS")
    assert [batch.batch_id for batch in batches] == [new.batch.id, slow.batch.id]


def test_held_jobs_are_not_leased(tables) -> None:
    tables.enqueue(tables.addition(3))
    assert take(tables, 5) == []


def test_a_lease_is_written_down(tables) -> None:
    tables.add(2)
    (batch,) = take(tables, 2)
    tokens = [lease.token for lease in batch.leases]
    assert len(set(tokens)) == 2
    rows = tables.rows("SELECT * FROM job ORDER BY seq")
    assert [row["lease_token"] for row in rows] == tokens
    for row in rows:
        assert (row["status"], row["attempt"]) == ("RUNNING", 1)
        assert (row["lease_expires_at"], row["start_at"], row["updated_at"]) == (
            9_000,
            2_000,
            2_000,
        )
    (counts,) = tables.rows("SELECT pending, running, start_at, progress_version FROM queued_batch")
    assert counts == {"pending": 0, "running": 2, "start_at": 2_000, "progress_version": 1}


async def test_a_lease_carries_what_the_worker_needs(process) -> None:
    added = await process.add(
        2, backend_configuration="{}", configuration_json='{"dt": 1}', program_hash="p"
    )
    response = await process.leases.LeaseJobs(
        pb.LeaseJobsRequest(
            device_types=["EMU_FREE"],
            max_jobs=5,
            lease_duration=Duration(seconds=30),
        )
    )
    (batch,) = response.batches
    assert batch.batch_id == added.batch.id
    assert batch.device_type == "EMU_FREE"
    assert batch.program_hash == "p"
    assert batch.backend_configuration == "{}"
    assert batch.configuration_json == '{"dt": 1}'
    assert [lease.job_id for lease in batch.leases] == [job.id for job in added.jobs]
    assert [lease.attempt for lease in batch.leases] == [1, 1]
    (row,) = await reading(process, "SELECT DISTINCT lease_expires_at FROM job")
    assert batch.leases[0].expire_time.ToMicroseconds() == row[0]


async def reading(process, statement: str):
    return process.rows(statement)


async def test_priorities_are_those_of_the_contract(process) -> None:
    added = {}
    for priority in reversed(BY_URGENCY):
        added[priority] = (await process.add(1, queue_priority=priority)).jobs[0].id
    leased = await process.lease(5)
    assert [lease.job_id for lease in leased] == [added[priority] for priority in BY_URGENCY]


async def test_nothing_to_do_is_an_empty_answer(process) -> None:
    assert await process.lease(wait=0) == []
    assert await process.lease(wait=0.01) == []


async def waiting(process, number: int) -> list[asyncio.Task[list[pb.JobLease]]]:
    """Starts calls that wait, and returns once the service has looked for all of them."""
    tasks = [asyncio.create_task(process.lease(1, wait=60)) for _ in range(number)]
    # A later call is answered after the earlier ones have looked: one writer serves all.
    await asyncio.sleep(0)
    assert await process.lease(1) == []
    return tasks


async def test_a_waiting_worker_is_woken_by_the_releasing_intent(process) -> None:
    (task,) = await waiting(process, 1)
    request = await process.enqueue(1)
    assert not task.done()
    await process.intend(request.batch.id, 1, [request.addition_id])
    assert [lease.job_id for lease in await task] == [request.jobs[0].id]


async def test_a_waiting_worker_is_woken_when_a_pause_ends(process) -> None:
    request = await process.enqueue(1)
    await process.intend(request.batch.id, 1, [request.addition_id], paused=True)
    (task,) = await waiting(process, 1)
    await process.intend(request.batch.id, 2)
    assert len(await task) == 1


@pytest.mark.parametrize("outcome", [{"lost": "it crashed."}, {"released": pb.Released()}])
async def test_a_waiting_worker_is_woken_by_a_job_that_comes_back(process, outcome) -> None:
    await process.add(1)
    (lease,) = await process.lease()
    (task,) = await waiting(process, 1)
    assert await process.finish(lease.token, **outcome)
    (again,) = await task
    assert again.job_id == lease.job_id
    assert again.token != lease.token


async def test_a_waiting_worker_is_woken_by_a_lease_that_runs_out(process) -> None:
    await process.add(1)
    (lease,) = await process.lease(duration=0.05)
    (again,) = await process.lease(wait=60)
    assert (again.job_id, again.attempt) == (lease.job_id, 2)


async def test_waiting_workers_share_what_comes(process) -> None:
    tasks = await waiting(process, 5)
    added = await process.add(5)
    leased = [lease.job_id for task in tasks for lease in await task]
    assert sorted(leased) == sorted(job.id for job in added.jobs)


async def test_a_stop_answers_those_who_wait(run_jobs) -> None:
    async with run_jobs() as process:
        tasks = await waiting(process, 3)
        process.stop.set()
        assert await asyncio.gather(*tasks) == [[], [], []]


async def test_a_worker_that_goes_away_while_waiting_takes_nothing_with_it(process) -> None:
    (task,) = await waiting(process, 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    added = await process.add(1)
    (lease,) = await process.lease(wait=60)
    assert (lease.job_id, lease.attempt) == (added.jobs[0].id, 1)


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("device_types", {"device_types": []}),
        ("max_jobs", {"max_jobs": 0}),
        ("wait", {"wait": Duration(seconds=61)}),
        ("wait", {"wait": Duration(seconds=-1)}),
        ("lease_duration", {"lease_duration": Duration()}),
        ("lease_duration", {"lease_duration": Duration(seconds=3601)}),
    ],
)
async def test_bad_input_is_named(process, field: str, change) -> None:
    good = {"device_types": ["X"], "max_jobs": 1, "lease_duration": Duration(seconds=1)}
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await process.leases.LeaseJobs(pb.LeaseJobsRequest(**{**good, **change}))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.value.details().startswith(f"{field}: ")


# --- renewing -------------------------------------------------------------------------------


async def test_a_renewal_extends_and_keeps_progress(process) -> None:
    await process.add(1)
    (lease,) = await process.lease(duration=60)
    assert await process.renew(lease.token, progress=40, duration=600) == []
    ((expires_at, progress),) = await reading(process, "SELECT lease_expires_at, progress FROM job")
    assert expires_at > lease.expire_time.ToMicroseconds() + 500_000_000
    assert progress == 40


def test_progress_that_is_the_same_is_no_change(tables) -> None:
    tables.add(1)
    (batch,) = take(tables, 1)
    renewal = leases.Renewal(batch.leases[0].token, 30)
    for now in (3_000, 4_000):
        assert tables(lambda c, now=now: leases.renew(c, [renewal], 20_000, now)) == []
    (row,) = tables.rows("SELECT updated_at, progress, lease_expires_at FROM job")
    assert row == {"updated_at": 3_000, "progress": 30, "lease_expires_at": 20_000}


async def test_a_renewal_tells_which_work_must_stop(process) -> None:
    cancelled, kept = await process.add(1), await process.add(1)
    first, second = await process.lease(2)
    await process.intend(cancelled.batch.id, 2, cancelled=True)
    dead = "999.x"
    assert await process.renew(first.token, second.token, dead, "nonsense") == [
        first.token,
        dead,
        "nonsense",
    ]
    assert second.job_id == kept.jobs[0].id


async def test_the_lease_of_a_cancelled_job_is_not_extended(process) -> None:
    added = await process.add(1)
    (lease,) = await process.lease(duration=60)
    await process.intend(added.batch.id, 2, cancelled=True)
    await process.renew(lease.token, duration=600)
    rows = await reading(process, "SELECT lease_expires_at FROM job")
    assert rows == [(lease.expire_time.ToMicroseconds(),)]


async def test_the_old_token_of_a_job_that_went_on_is_dead(process) -> None:
    await process.add(1)
    (old,) = await process.lease()
    await process.finish(old.token, released=pb.Released())
    (new,) = await process.lease()
    assert await process.renew(old.token, new.token) == [old.token]


async def test_impossible_progress_is_refused(process) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await process.renew(str(uuid.uuid4()), progress=101)
    assert refused.value.details().startswith("renewals[0].progress: ")


# --- renewals that wait ---------------------------------------------------------------------


async def renewing(process, *tokens: str) -> asyncio.Task[list[str]]:
    """Starts a renewal that waits, and returns once the service has looked."""
    task = asyncio.create_task(process.renew(*tokens, wait=60))
    await asyncio.sleep(0)
    assert await process.lease() == []  # one writer serves all, in turn
    assert not task.done()
    return task


async def test_a_waiting_renewal_is_answered_when_the_batch_is_cancelled(process) -> None:
    cancelled, kept = await process.add(2), await process.add(1)
    leased = await process.lease(3)
    tokens = [lease.token for lease in leased]
    assert leased[2].job_id == kept.jobs[0].id
    task = await renewing(process, *tokens)
    await process.intend(cancelled.batch.id, 2, cancelled=True)
    assert sorted(await task) == sorted(tokens[:2])


async def test_a_waiting_renewal_is_answered_when_a_job_is_cancelled(process, member) -> None:
    added = await process.add(2)
    leased = await process.lease(2)
    one = await renewing(process, leased[0].token)
    both = await renewing(process, *(lease.token for lease in leased))
    request = jobs_pb.CancelJobRequest(job_id=added.jobs[1].id)
    cancel = asyncio.ensure_future(process.jobs.CancelJob(request, metadata=member))
    assert await both == [leased[1].token]
    assert not one.done()
    await process.finish(leased[1].token, stopped=pb.Stopped())
    assert (await cancel).job.status == job_pb2.JOB_STATUS_CANCELED
    one.cancel()


async def test_a_waiting_renewal_is_answered_when_a_lease_runs_out(process) -> None:
    await process.add(2)
    first, second = await process.lease(2)
    task = asyncio.create_task(process.renew(first.token, duration=0.2, wait=60))
    assert await task == [first.token]
    assert await process.renew(second.token, wait=0.01) == []


async def test_a_waiting_renewal_is_answered_when_another_follows_it(process) -> None:
    await process.add(3)
    first, second, third = [lease.token for lease in await process.lease(3)]
    followed, other = await renewing(process, first, second), await renewing(process, third)
    # Whether what it covers is over or goes on: one of its tokens stands for it.
    await process.finish(first, failure="x")
    follower = asyncio.create_task(process.renew(second, wait=60, former=[first, "999.x"]))
    assert await followed == []
    assert not other.done()
    assert not follower.done()
    for task in (other, follower):
        task.cancel()


async def test_a_renewal_with_news_does_not_wait(process) -> None:
    added = await process.add(1)
    (lease,) = await process.lease()
    await process.intend(added.batch.id, 2, cancelled=True)
    assert await process.renew(lease.token, wait=60) == [lease.token]
    assert await process.renew("999.x", wait=60) == ["999.x"]


async def test_a_renewal_ends_with_its_wait(process) -> None:
    await process.add(1)
    (lease,) = await process.lease()
    assert await process.renew(lease.token, progress=7, wait=0.01) == []
    assert await reading(process, "SELECT progress FROM job") == [(7,)]


async def test_a_stop_answers_renewals_that_wait(run_jobs) -> None:
    async with run_jobs() as process:
        await process.add(1)
        (lease,) = await process.lease()
        task = await renewing(process, lease.token)
        process.stop.set()
        assert await task == []


async def test_each_of_many_renewals_hears_of_its_own_leases(process) -> None:
    batches = [await process.add(20) for _ in range(5)]
    held: dict[str, list[str]] = {}
    leased = await process.lease(100)
    for number, batch in enumerate(batches):
        held[batch.batch.id] = [lease.token for lease in leased[20 * number : 20 * number + 20]]
    tasks = {id_: await renewing(process, *tokens) for id_, tokens in held.items()}
    for id_, task in tasks.items():
        await process.intend(id_, 2, cancelled=True)
        assert sorted(await task) == sorted(held.pop(id_))
        assert not any(tasks[other].done() for other in held)


async def test_a_renewal_cannot_wait_for_ever(process) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await process.renew("999.x", wait=61)
    assert refused.value.details().startswith("wait: ")


async def test_a_renewal_cannot_name_any_number_of_former_ones(process) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await process.renew("999.x", former=["998.x"] * 10_001)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.value.details() == "former_tokens: must have at most 10000 items."
