"""Storing additions: once, held, and in the order of the queue."""

import uuid
from dataclasses import replace

import grpc
import pytest
from sqlalchemy.exc import IntegrityError

from tweezer.internal.v1 import queue_service_pb2 as queue_pb
from tweezer.job.store.enqueue import BatchClosed, OrderTaken


def test_jobs_are_stored_held(tables) -> None:
    addition = tables.enqueue(tables.addition(3, now=5))
    jobs = tables.rows("SELECT * FROM job ORDER BY seq")
    assert [job["creation_order"] for job in jobs] == [0, 1, 2]
    assert {(job["status"], job["released"], job["ready"]) for job in jobs} == {("PENDING", 0, 0)}
    assert {(job["created_at"], job["updated_at"]) for job in jobs} == {(5, 5)}
    (batch,) = tables.rows("SELECT * FROM queued_batch")
    assert (batch["id"], batch["pending"]) == (addition.batch.id, 3)


def test_the_same_addition_may_be_sent_again(tables) -> None:
    addition = tables.addition(3)
    tables.enqueue(addition)
    tables.enqueue(addition)
    tables.intend(addition.batch.id, 1, addition.id)
    tables.enqueue(addition)
    assert len(tables.rows("SELECT 1 FROM job WHERE released")) == 3
    assert tables.rows("SELECT pending FROM queued_batch") == [{"pending": 3}]


def test_a_batch_takes_further_additions(tables) -> None:
    first = tables.enqueue(tables.addition(2))
    tables.enqueue(tables.addition(3, batch_id=first.batch.id, first_order=2))
    assert tables.rows("SELECT count(*) AS n FROM queued_batch") == [{"n": 1}]
    assert tables.rows("SELECT pending FROM queued_batch") == [{"pending": 5}]


def test_another_addition_cannot_take_the_same_order(tables) -> None:
    first = tables.enqueue(tables.addition(2))
    with pytest.raises(OrderTaken):
        tables.enqueue(tables.addition(2, batch_id=first.batch.id, first_order=1))
    assert tables.rows("SELECT pending FROM queued_batch") == [{"pending": 2}]
    assert len(tables.rows("SELECT 1 FROM queued_addition")) == 1


def test_a_batch_that_is_closed_takes_no_other_addition(tables) -> None:
    first = tables.enqueue(tables.addition(2))
    tables.intend(first.batch.id, 1, first.id, open=False)
    with pytest.raises(BatchClosed):
        tables.enqueue(tables.addition(1, batch_id=first.batch.id, first_order=2))
    tables.enqueue(first)  # the same once more
    assert tables.rows("SELECT pending FROM queued_batch") == [{"pending": 2}]
    assert len(tables.rows("SELECT 1 FROM queued_addition")) == 1


async def test_who_adds_to_a_closed_batch_is_told(process) -> None:
    added = await process.add(1)
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await process.enqueue(
            [queue_pb.QueuedJob(id=str(uuid.uuid4()), creation_order=1)], batch_id=added.batch.id
        )
    assert failed.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert failed.value.details() == f"batch {added.batch.id} is closed"


def test_all_of_an_addition_is_stored_or_nothing(tables) -> None:
    addition = tables.addition(3)
    broken = replace(addition, jobs=[*addition.jobs[:2], replace(addition.jobs[2], id=None)])
    with pytest.raises(IntegrityError, match=r"(?i)not.null"):
        tables.enqueue(broken)
    assert tables.rows("SELECT 1 FROM queued_batch UNION SELECT 1 FROM job") == []


def test_ten_thousand_jobs_are_stored_in_order(tables) -> None:
    tables.enqueue(tables.addition(10_000))
    orders = [
        r["creation_order"] for r in tables.rows("SELECT creation_order FROM job ORDER BY seq")
    ]
    assert orders == list(range(10_000))


async def test_an_addition_without_jobs_changes_nothing_that_is_seen(process) -> None:
    await process.add(0)
    assert await process.lease() == []


async def test_jobs_keep_what_they_were_given(process) -> None:
    jobs = [
        queue_pb.QueuedJob(
            id="1b4e28ba-2fa1-41d2-883f-0016d3cca427",
            creation_order=4,
            runs=50,
            variables_json='{"omega": [1, 2.5]}',
        ),
        queue_pb.QueuedJob(
            id="1b4e28ba-2fa1-41d2-883f-0016d3cca428", creation_order=5, program_hash="own"
        ),
    ]
    await process.add(jobs)
    with_variables, with_program = await process.lease(2)
    assert (with_variables.runs, with_variables.variables_json) == (50, '{"omega": [1, 2.5]}')
    assert not with_variables.HasField("program_hash")
    assert with_program.program_hash == "own"
    assert not with_program.HasField("runs")
    assert not with_program.HasField("variables_json")


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("addition_id", lambda r: setattr(r, "addition_id", "x")),
        ("batch.id", lambda r: setattr(r.batch, "id", "")),
        ("batch.project_id", lambda r: setattr(r.batch, "project_id", "../other")),
        ("batch.device_type", lambda r: setattr(r.batch, "device_type", "")),
        ("batch.origin", lambda r: setattr(r.batch, "origin", 0)),
        ("batch.queue_priority", lambda r: setattr(r.batch, "queue_priority", 0)),
        ("create_time", lambda r: r.ClearField("create_time")),
        ("jobs[1].creation_order", lambda r: setattr(r.jobs[1], "creation_order", 7)),
    ],
)
async def test_bad_input_is_named(process, field: str, change) -> None:
    request = await process.enqueue(2)
    change(request)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await process.queue.EnqueueJobs(request)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.value.details().startswith(f"{field}: ")


async def test_a_taken_order_is_a_failed_precondition(process) -> None:
    request = await process.enqueue(1)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await process.enqueue(1, batch_id=request.batch.id)
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
