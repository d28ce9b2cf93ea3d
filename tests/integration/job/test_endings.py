"""What becomes of a job when its lease ends."""

import asyncio
from pathlib import Path

import grpc
import pytest

from tweezer.internal.v1 import lease_service_pb2 as pb
from tweezer.job.store import endings, leases
from tweezer.v1 import job_pb2
from tweezer.v1 import job_service_pb2 as jobs_pb

RESULT = b'{"counter": {"01": 3}}'
STOPPED, RELEASED = pb.Stopped(), pb.Released()


def objects(process) -> list[Path]:
    return [path for path in process.settings.results_dir.rglob("*") if path.is_file()]


async def get(process, member, job_id: str) -> job_pb2.Job:
    request = jobs_pb.GetJobRequest(job_id=job_id)
    return (await process.jobs.GetJob(request, metadata=member)).job


def batch_row(process, columns: str):
    return process.rows(f"SELECT {columns} FROM queued_batch")[0]


async def one_lease(process) -> pb.JobLease:
    await process.add(1)
    (lease,) = await process.lease()
    return lease


async def test_a_result_makes_the_job_done(process, member) -> None:
    lease = await one_lease(process)
    assert await process.finish(
        lease.token, result=RESULT, slurm_job_id="17", slurm_cluster_name="jean"
    )
    job = await get(process, member, lease.job_id)
    assert job.status == job_pb2.JOB_STATUS_DONE
    assert job.progress == 100
    assert job.HasField("end_time")
    assert (job.slurm_job_id, job.slurm_cluster_name) == ("17", "jean")
    (file,) = objects(process)
    assert file.read_bytes() == RESULT
    assert batch_row(process, "running, done, end_at")[:2] == (0, 1)


async def test_a_failure_says_why(process, member) -> None:
    lease = await one_lease(process)
    assert await process.finish(lease.token, failure="The register has too many atoms.")
    job = await get(process, member, lease.job_id)
    assert job.status == job_pb2.JOB_STATUS_ERROR
    assert list(job.errors) == ["The register has too many atoms."]
    assert job.HasField("end_time")
    assert objects(process) == []


async def test_a_loss_costs_an_attempt(process, member) -> None:
    lease = await one_lease(process)
    await process.renew(lease.token, progress=50)
    assert await process.finish(lease.token, lost="it crashed.")
    job = await get(process, member, lease.job_id)
    assert job.status == job_pb2.JOB_STATUS_PENDING
    assert not job.HasField("start_time")
    assert job.progress == 0
    assert list(job.errors) == []
    (again,) = await process.lease()
    assert again.attempt == 2


async def test_too_many_losses_are_an_error(process, member) -> None:
    await process.add(1)
    for _ in range(process.settings.max_attempts):
        (lease,) = await process.lease()
        assert await process.finish(lease.token, lost="it ran out of memory.")
    job = await get(process, member, lease.job_id)
    assert job.status == job_pb2.JOB_STATUS_ERROR
    assert list(job.errors) == ["The worker was lost 3 times: it ran out of memory."]
    assert await process.lease() == []


async def test_giving_back_costs_no_attempt(process) -> None:
    await process.add(1)
    for _ in range(process.settings.max_attempts + 2):
        (lease,) = await process.lease()
        assert lease.attempt == 1
        assert await process.finish(lease.token, released=RELEASED)


async def test_a_job_that_comes_back_keeps_its_place(process) -> None:
    added = await process.add(3)
    first, _ = await process.lease(2)
    await process.finish(first.token, released=RELEASED)
    (again,) = await process.lease()
    assert again.job_id == added.jobs[0].id


async def test_a_job_of_a_paused_batch_that_comes_back_waits(process) -> None:
    added = await process.add(1)
    (lease,) = await process.lease()
    await process.intend(added.batch.id, 2, paused=True)
    await process.finish(lease.token, released=RELEASED)
    assert await process.lease() == []
    await process.intend(added.batch.id, 3)
    assert len(await process.lease()) == 1


@pytest.mark.parametrize(
    "outcome",
    [
        {"result": RESULT},
        {"failure": "It cannot be done."},
        {"lost": "it crashed."},
        {"stopped": STOPPED},
        {"released": RELEASED},
    ],
    ids=lambda outcome: next(iter(outcome)),
)
async def test_every_outcome_of_a_cancelled_job_is_cancelled(process, member, outcome) -> None:
    added = await process.add(1)
    (lease,) = await process.lease()
    await process.intend(added.batch.id, 2, cancelled=True)
    job = await get(process, member, lease.job_id)
    assert job.status == job_pb2.JOB_STATUS_CANCELING
    for _ in range(2):  # a repetition is fine, too
        assert await process.finish(lease.token, **outcome)
    job = await get(process, member, lease.job_id)
    assert job.status == job_pb2.JOB_STATUS_CANCELED
    assert job.HasField("end_time")
    assert list(job.errors) == []
    assert objects(process) == []
    assert batch_row(process, "canceling, canceled") == (0, 1)


@pytest.mark.parametrize(
    "outcome",
    [
        {"result": RESULT},
        {"failure": "It cannot be done."},
        {"lost": "it crashed."},
        {"released": RELEASED},
    ],
    ids=lambda outcome: next(iter(outcome)),
)
async def test_a_repetition_changes_nothing(process, outcome) -> None:
    lease = await one_lease(process)
    assert await process.finish(lease.token, **outcome)
    # All but what is acknowledged.
    progress = "progress_version, pending, running, canceling, done, error, canceled, end_at"
    before = batch_row(process, progress)
    files = [(file, file.stat().st_mtime_ns) for file in objects(process)]
    assert await process.finish(lease.token, **outcome)
    assert batch_row(process, progress) == before
    assert [(file, file.stat().st_mtime_ns) for file in objects(process)] == files


async def test_a_repetition_is_known_while_another_worker_has_the_job(process) -> None:
    lease = await one_lease(process)
    await process.finish(lease.token, lost="it crashed.")
    (again,) = await process.lease()
    assert await process.finish(lease.token, lost="it crashed.")
    assert await process.renew(again.token) == []


async def test_another_outcome_afterwards_is_refused(process, member) -> None:
    lease = await one_lease(process)
    assert await process.finish(lease.token, result=RESULT)
    assert not await process.finish(lease.token, failure="It cannot be done.")
    assert not await process.finish(lease.token, lost="it crashed.")
    job = await get(process, member, lease.job_id)
    assert job.status == job_pb2.JOB_STATUS_DONE
    assert len(objects(process)) == 1


@pytest.mark.parametrize("token", ["", "nonsense", "1.guess", "999999.x", "0.x"])
async def test_an_unknown_token_is_refused_and_leaves_nothing(process, token: str) -> None:
    lease = await one_lease(process)
    assert not await process.finish(token, result=RESULT)
    assert objects(process) == []
    assert await process.renew(lease.token) == []


async def test_the_token_of_a_lost_lease_is_refused(process) -> None:
    await process.add(1)
    (lease,) = await process.lease(duration=0.05)
    (again,) = await process.lease(wait=60)
    assert not await process.finish(lease.token, result=RESULT)
    assert objects(process) == []
    assert await process.finish(again.token, result=RESULT)
    assert len(objects(process)) == 1


async def test_outcomes_of_one_call_are_each_taken_for_themselves(process, member) -> None:
    added = await process.add(4)
    held = await process.lease(4)
    response = await process.leases.FinishJobs(
        pb.FinishJobsRequest(
            outcomes=[
                pb.JobOutcome(token=held[0].token, result=RESULT),
                pb.JobOutcome(token="1.dead", result=RESULT),
                pb.JobOutcome(token=held[1].token, failure="It cannot be done."),
                pb.JobOutcome(token=held[2].token, released=RELEASED),
                pb.JobOutcome(token=held[3].token, result=b"{}"),
            ]
        )
    )
    assert list(response.refused_tokens) == ["1.dead"]
    statuses = [(await get(process, member, job.id)).status for job in added.jobs]
    assert statuses == [
        job_pb2.JOB_STATUS_DONE,
        job_pb2.JOB_STATUS_ERROR,
        job_pb2.JOB_STATUS_PENDING,
        job_pb2.JOB_STATUS_DONE,
    ]
    assert sorted(file.read_bytes() for file in objects(process)) == sorted([RESULT, b"{}"])


async def test_work_that_stops_unasked_costs_an_attempt(process, member) -> None:
    await process.add(1)
    for attempt in (1, 2, 3):
        (lease,) = await process.lease()
        assert lease.attempt == attempt
        assert await process.finish(lease.token, stopped=STOPPED)
    (sentence,) = (await get(process, member, lease.job_id)).errors
    assert sentence.startswith("The worker was lost 3 times: ")


async def test_a_token_may_be_named_once_in_a_call(process) -> None:
    lease = await one_lease(process)
    outcome = pb.JobOutcome(token=lease.token, released=RELEASED)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await process.leases.FinishJobs(pb.FinishJobsRequest(outcomes=[outcome, outcome]))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_an_outcome_must_say_something(process) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await process.finish("1.x")
    assert refused.value.details().startswith("outcomes[0].outcome: ")


async def test_a_result_store_that_is_away_leaves_the_job_running(process, member) -> None:
    lease = await one_lease(process)
    folder = process.settings.results_dir
    folder.rmdir()
    folder.write_text("in the way")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await process.finish(lease.token, result=RESULT)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    assert (await get(process, member, lease.job_id)).status == job_pb2.JOB_STATUS_RUNNING
    folder.unlink()
    assert await process.finish(lease.token, result=RESULT)


# --- leases that run out --------------------------------------------------------------------


async def test_a_lease_that_runs_out_costs_an_attempt_and_at_last_the_job(
    process, member, batch_side
) -> None:
    added = await process.add(1)
    for attempt in (1, 2, 3):
        (lease,) = await process.lease(duration=0.03, wait=60)
        assert lease.attempt == attempt
    await batch_side.until(lambda s: s.progress[added.batch.id].job_counts.error == 1)
    (sentence,) = (await get(process, member, lease.job_id)).errors
    assert sentence.startswith("The worker was lost 3 times: ")


async def test_a_cancelled_job_whose_worker_is_gone_is_cancelled(process, batch_side) -> None:
    added = await process.add(1)
    await process.lease(duration=0.2)
    await process.intend(added.batch.id, 2, cancelled=True)
    await batch_side.until(lambda s: s.progress[added.batch.id].job_counts.canceled == 1)


async def test_the_sweep_is_not_held_up_by_a_long_lease(process, batch_side) -> None:
    first, second = await process.add(1), await process.add(1)
    await process.lease(duration=3600)
    await process.lease(duration=0.03)
    (again,) = await process.lease(wait=60)
    assert again.job_id == second.jobs[0].id
    assert first.batch.id != second.batch.id


def test_a_renewed_lease_does_not_run_out(tables) -> None:
    tables.add(2)
    (batch,) = tables(lambda c: leases.take(c, ["EMU_FREE"], 2, 5_000, 2_000))
    kept, lost = batch.leases
    tables(lambda c: leases.renew(c, [leases.Renewal(kept.token, 0)], 9_000, 3_000))
    ended = tables(lambda c: endings.expire(c, 3, 5_000))
    assert [job.lease_token for job in ended.jobs] == [lost.token]
    assert tables(leases.earliest_expiry) == 9_000


async def test_many_leases_that_run_out_together_all_come_back(process) -> None:
    added = await process.add(1200)
    assert len(await process.lease(1200, duration=0.05)) == 1200
    seen = set()
    async with asyncio.timeout(60):
        while len(seen) < len(added.jobs):
            seen |= {lease.job_id for lease in await process.lease(1200, wait=60)}
