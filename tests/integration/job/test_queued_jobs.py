"""The jobs of a batch as they were queued, for those who repeat them."""

import uuid

import grpc
import pytest

from tweezer.internal.v1 import queue_service_pb2 as pb
from tweezer.v1 import job_pb2


async def listed(process, batch_id: str, **wanted) -> list[pb.QueuedJob]:
    request = pb.ListBatchJobsRequest(batch_id=batch_id, filter=job_pb2.JobFilter(**wanted))
    return list((await process.queue.ListBatchJobs(request)).jobs)


async def test_jobs_come_back_as_they_were_queued(process) -> None:
    first = pb.QueuedJob(
        id=str(uuid.uuid4()),
        creation_order=0,
        runs=50,
        variables_json='{"omega": 5}',
        program_hash="own",
        parent_id=str(uuid.uuid4()),
    )
    second = pb.QueuedJob(id=str(uuid.uuid4()), creation_order=1)
    added = await process.add([first, second])
    await process.add(1)
    assert await listed(process, added.batch.id.upper()) == [first, second]


async def test_they_come_in_creation_order_whenever_they_were_stored(process) -> None:
    batch = str(uuid.uuid4())
    for order in (2, 0, 1):
        await process.enqueue(
            [pb.QueuedJob(id=str(uuid.uuid4()), creation_order=order)], batch_id=batch
        )
    assert [job.creation_order for job in await listed(process, batch)] == [0, 1, 2]


async def test_more_than_a_page_is_listed(process) -> None:
    added = await process.add(1_500)
    assert await listed(process, added.batch.id) == list(added.jobs)


async def test_the_filter_is_applied(process) -> None:
    added = await process.add(3)
    (lease,) = await process.lease()
    await process.finish(lease.token, failure="It cannot be done.")
    batch, ids = added.batch.id, [job.id for job in added.jobs]

    async def matching(**wanted) -> list[str]:
        return [job.id for job in await listed(process, batch, **wanted)]

    assert await matching(statuses=[job_pb2.JOB_STATUS_ERROR]) == ids[:1]
    assert await matching(errors=False) == ids[1:]
    assert await matching(ids=[ids[2].upper(), ids[0], str(uuid.uuid4())]) == [ids[0], ids[2]]
    assert await matching(project_ids=[added.batch.project_id]) == ids
    assert await matching(project_ids=[str(uuid.uuid4())]) == []
    assert await matching(batch_ids=[str(uuid.uuid4()), batch.upper()]) == ids
    assert await matching(batch_ids=[str(uuid.uuid4())]) == []


async def test_a_batch_without_jobs_has_none(process) -> None:
    assert await listed(process, str(uuid.uuid4())) == []


async def test_bad_input_is_named(process) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await listed(process, "batch-1")
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.value.details().startswith("batch_id: ")
