"""Cancelling for clients: one job, or those of a batch that match."""

import asyncio
import uuid

import grpc
import pytest

from tweezer.internal.v1 import lease_service_pb2 as lease_pb
from tweezer.v1 import job_pb2
from tweezer.v1 import job_service_pb2 as pb

PROJECT = "11111111-1111-4111-8111-111111111111"
OTHER = "22222222-2222-4222-8222-222222222222"
S = job_pb2.JobStatus
NOT_FOUND, FAILED = grpc.StatusCode.NOT_FOUND, grpc.StatusCode.FAILED_PRECONDITION


async def cancel(process, member, job_id: str) -> job_pb2.Job:
    request = pb.CancelJobRequest(job_id=job_id)
    return (await process.jobs.CancelJob(request, metadata=member)).job


async def cancel_jobs(process, member, batch_id: str, **wanted) -> pb.CancelJobsResponse:
    request = pb.CancelJobsRequest(batch_id=batch_id, filter=job_pb2.JobFilter(**wanted))
    return await process.jobs.CancelJobs(request, metadata=member)


async def refusal(call) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    return refused.value.code(), refused.value.details()


def rows(process, statement: str) -> list[tuple]:
    return process.rows(statement)


async def until_stop_is_asked_for(process, token: str) -> None:
    assert await process.renew(token, wait=60) == [token]


async def stop(process, token: str) -> None:
    """Stops the work as soon as that is asked for, as a worker does."""
    await until_stop_is_asked_for(process, token)
    await process.finish(token, stopped=lease_pb.Stopped())


# --- one job --------------------------------------------------------------------------------


async def test_a_waiting_job_is_cancelled_at_once(process, member, batch_side) -> None:
    added = await process.add(2)
    job = await cancel(process, member, added.jobs[0].id.upper())
    assert (job.id, job.status) == (added.jobs[0].id, S.JOB_STATUS_CANCELED)
    assert job.HasField("end_time")
    assert not job.HasField("start_time")
    assert [lease.job_id for lease in await process.lease(5)] == [added.jobs[1].id]
    await batch_side.until(
        lambda s: (
            added.batch.id in s.progress and s.progress[added.batch.id].job_counts.canceled == 1
        )
    )


async def test_the_answer_waits_until_a_running_job_has_stopped(run_jobs, member) -> None:
    async with run_jobs(cancel_wait_s=600) as process:
        await process.add(1)
        (lease,) = await process.lease()
        job, _ = await asyncio.gather(
            cancel(process, member, lease.job_id), stop(process, lease.token)
        )
        assert job.status == S.JOB_STATUS_CANCELED
        assert rows(process, "SELECT running, canceling, canceled FROM queued_batch") == [(0, 0, 1)]


async def test_the_answer_waits_until_the_lease_of_a_worker_that_is_gone_ends(
    run_jobs, member
) -> None:
    async with run_jobs(cancel_wait_s=600) as process:
        await process.add(1)
        (lease,) = await process.lease(duration=0.2)
        assert (await cancel(process, member, lease.job_id)).status == S.JOB_STATUS_CANCELED


async def test_a_worker_that_does_not_stop_is_not_waited_for_long(run_jobs, member) -> None:
    async with run_jobs(cancel_wait_s=0.05) as process:
        await process.add(1)
        (lease,) = await process.lease()
        assert (await cancel(process, member, lease.job_id)).status == S.JOB_STATUS_CANCELING
        # Asking again is no error while the job is not final.
        assert (await cancel(process, member, lease.job_id)).status == S.JOB_STATUS_CANCELING
        assert await process.renew(lease.token) == [lease.token]


async def test_a_stop_of_the_service_answers_those_who_wait(run_jobs, member) -> None:
    async with run_jobs(cancel_wait_s=600) as process:
        await process.add(1)
        (lease,) = await process.lease()
        call = asyncio.create_task(cancel(process, member, lease.job_id))
        await until_stop_is_asked_for(process, lease.token)
        process.stop.set()
        assert (await call).status == S.JOB_STATUS_CANCELING


@pytest.mark.parametrize(
    ("outcome", "status"),
    [({"result": b"{}"}, "DONE"), ({"failure": "No."}, "ERROR"), (None, "CANCELED")],
)
async def test_a_final_job_cannot_be_cancelled(process, member, outcome, status: str) -> None:
    added = await process.add(1)
    job_id = added.jobs[0].id
    if outcome is None:
        await cancel(process, member, job_id)
    else:
        (lease,) = await process.lease()
        await process.finish(lease.token, **outcome)
    before = rows(process, "SELECT * FROM job")
    assert await refusal(cancel(process, member, job_id)) == (
        FAILED,
        f"cannot cancel a job that is {status}",
    )
    assert rows(process, "SELECT * FROM job") == before


async def test_unknown_and_foreign_jobs_are_not_found(process, member) -> None:
    foreign = await process.add(1, project_id=OTHER)
    for job_id in (foreign.jobs[0].id, str(uuid.uuid4())):
        assert await refusal(cancel(process, member, job_id)) == (
            NOT_FOUND,
            f"job {job_id} not found",
        )
    assert rows(process, "SELECT status FROM job") == [("PENDING",)]


@pytest.mark.parametrize("whole_batch", [False, True])
async def test_a_job_whose_release_is_on_its_way_is_cancelled_when_it_comes(
    run_jobs, member, whole_batch: bool
) -> None:
    async with run_jobs(cancel_wait_s=600) as process:
        held = await process.enqueue(1)
        call = asyncio.create_task(
            cancel_jobs(process, member, held.batch.id)
            if whole_batch
            else cancel(process, member, held.jobs[0].id)
        )
        await asyncio.sleep(0)
        # A later call is answered after the earlier one has looked: one writer serves all.
        await refusal(cancel(process, member, str(uuid.uuid4())))
        assert not call.done()
        await process.intend(held.batch.id, 1, [held.addition_id])
        answer = await call
        (job,) = answer.jobs if whole_batch else [answer]
        assert job.status == S.JOB_STATUS_CANCELED
        assert await process.lease() == []


async def test_a_job_that_stays_held_is_not_cancelled(run_jobs, member) -> None:
    async with run_jobs(cancel_wait_s=0.01) as process:
        held = await process.enqueue(1)
        job_id = held.jobs[0].id
        reason = f"job {job_id} is still being added"
        assert await refusal(cancel(process, member, job_id)) == (FAILED, reason)
        response = await cancel_jobs(process, member, held.batch.id)
        assert (list(response.jobs), dict(response.errors)) == ([], {job_id: reason})


# --- jobs of a batch ------------------------------------------------------------------------


async def test_all_that_is_not_final_is_cancelled(process, member) -> None:
    added = await process.add(4)
    others = await process.add(1, queue_priority=5)
    first, second = await process.lease(2)
    await process.finish(first.token, result=b"{}")
    response, _ = await asyncio.gather(
        cancel_jobs(process, member, added.batch.id.upper()), stop(process, second.token)
    )
    assert [(job.id, job.status) for job in response.jobs] == [
        (job.id, S.JOB_STATUS_CANCELED) for job in added.jobs[1:]
    ]
    # What was final before is an error for those only who named it.
    assert not response.errors
    counts = "SELECT pending, canceling, done, canceled FROM queued_batch ORDER BY seq"
    assert rows(process, counts) == [
        (0, 0, 1, 3),
        (1, 0, 0, 0),
    ]
    assert [lease.job_id for lease in await process.lease(5)] == [others.jobs[0].id]
    assert (await cancel_jobs(process, member, added.batch.id)) == pb.CancelJobsResponse()


async def test_jobs_are_chosen_by_a_filter(run_jobs, member) -> None:
    async with run_jobs(cancel_wait_s=0) as process:
        added = await process.add(3)
        await process.lease(1)
        ids = [job.id for job in added.jobs]
        response = await cancel_jobs(
            process, member, added.batch.id, statuses=[S.JOB_STATUS_RUNNING]
        )
        assert [(job.id, job.status) for job in response.jobs] == [(ids[0], S.JOB_STATUS_CANCELING)]
        response = await cancel_jobs(process, member, added.batch.id, id_prefix=ids[2][:13])
        assert [job.id for job in response.jobs] == [ids[2]]
        assert rows(process, "SELECT status FROM job ORDER BY creation_order") == [
            ("CANCELING",),
            ("PENDING",),
            ("CANCELED",),
        ]


async def test_jobs_that_are_named_and_left_alone_are_errors(process, member) -> None:
    added, elsewhere = await process.add(2), await process.add(1)
    (lease,) = await process.lease()
    await process.finish(lease.token, result=b"{}")
    done, waiting = (job.id for job in added.jobs)
    absent, foreign = str(uuid.uuid4()), elsewhere.jobs[0].id
    response = await cancel_jobs(
        process, member, added.batch.id, ids=[done.upper(), waiting, absent, foreign]
    )
    assert [job.id for job in response.jobs] == [waiting]
    assert dict(response.errors) == {
        done: "cannot cancel a job that is DONE",
        absent: f"job {absent} not found",
        foreign: f"job {foreign} not found",
    }


async def test_more_jobs_than_a_statement_can_name_are_cancelled(process, member) -> None:
    added = await process.add(2_500)
    response = await cancel_jobs(process, member, added.batch.id)
    assert [job.id for job in response.jobs] == [job.id for job in added.jobs]
    assert rows(process, "SELECT pending, canceled FROM queued_batch") == [(0, 2_500)]


async def test_unknown_and_foreign_batches_are_not_found(process, member) -> None:
    foreign = await process.add(1, project_id=OTHER)
    for batch_id in (foreign.batch.id, str(uuid.uuid4())):
        assert await refusal(cancel_jobs(process, member, batch_id)) == (
            NOT_FOUND,
            f"batch {batch_id} not found",
        )
    assert rows(process, "SELECT status FROM job") == [("PENDING",)]


async def test_a_filter_never_reaches_beyond_the_batch(process, member) -> None:
    added, other = await process.add(1), await process.add(1)
    response = await cancel_jobs(process, member, added.batch.id, batch_ids=[other.batch.id])
    assert not response.jobs
    assert rows(process, "SELECT DISTINCT status FROM job") == [("PENDING",)]


async def test_bad_input_is_named(process, member) -> None:
    added = await process.add(1)
    for call, field in (
        (cancel(process, member, "job-1"), "job_id"),
        (cancel_jobs(process, member, "batch-1"), "batch_id"),
        (cancel_jobs(process, member, added.batch.id, ids=["job-1"]), "id"),
    ):
        code, text = await refusal(call)
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert text.startswith(f"{field}: ")
