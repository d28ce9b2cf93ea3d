"""Reports of JobService: applied once, in order, and turned into the status of the batch."""

import pytest

from tweezer.database.timestamps import to_timestamp
from tweezer.internal.v1.progress_service_pb2 import BatchProgress, ReportProgressRequest
from tweezer.v1.batch_pb2 import BatchStatus, JobCounts
from tweezer.v1.batch_service_pb2 import GetBatchRequest, GetBatchStatusRequest

STARTED, ENDED = 1_700_000_000_000_000, 1_700_000_060_000_000


def progress(batch_id, version, start=STARTED, end=None, **counts):
    return BatchProgress(
        batch_id=batch_id,
        version=version,
        job_counts=JobCounts(**counts),
        start_time=None if start is None else to_timestamp(start),
        end_time=None if end is None else to_timestamp(end),
    )


@pytest.fixture
def report(stubs):
    async def call(*reports):
        return await stubs.progress.ReportProgress(ReportProgressRequest(reports=reports))

    return call


@pytest.fixture
def read(stubs, user):
    async def call(batch_id):
        response = await stubs.batches.GetBatch(
            GetBatchRequest(batch_id=batch_id), metadata=user.metadata
        )
        return response.batch

    return call


@pytest.fixture
async def batch(create):
    return (await create(jobs=3)).batch


async def test_progress_shows_in_the_batch(stubs, user, batch, report, read):
    await report(progress(batch.id, 1, pending=1, running=1, done=1))
    shown = await read(batch.id)
    assert shown.status == BatchStatus.BATCH_STATUS_RUNNING
    assert shown.job_counts == JobCounts(pending=1, running=1, done=1)
    assert shown.start_time == to_timestamp(STARTED)
    assert not shown.HasField("end_time")
    assert shown.update_time.ToNanoseconds() > batch.update_time.ToNanoseconds()
    status = await stubs.batches.GetBatchStatus(
        GetBatchStatusRequest(batch_id=batch.id), metadata=user.metadata
    )
    assert (status.status, status.job_counts) == (shown.status, shown.job_counts)


async def test_a_repeated_report_changes_nothing(batch, report, read):
    await report(progress(batch.id, 1, running=1, pending=2))
    before = await read(batch.id)
    for _ in range(2):
        response = await report(progress(batch.id, 1, done=3))
        assert response.unknown_batch_ids == []
    assert await read(batch.id) == before


async def test_an_older_report_changes_nothing(batch, report, read):
    await report(progress(batch.id, 7, done=2, running=1))
    before = await read(batch.id)
    await report(progress(batch.id, 6, running=3))
    assert await read(batch.id) == before


async def test_several_reports_at_once(create, report, read):
    batches = [(await create(jobs=1)).batch for _ in range(3)]
    response = await report(*(progress(b.id, 1, running=1) for b in batches))
    assert response.unknown_batch_ids == []
    assert {(await read(b.id)).status for b in batches} == {BatchStatus.BATCH_STATUS_RUNNING}


ENDS = {
    "all done": ({"done": 3}, BatchStatus.BATCH_STATUS_DONE),
    "some failed": ({"done": 1, "error": 2}, BatchStatus.BATCH_STATUS_DONE),
    "all failed": ({"error": 3}, BatchStatus.BATCH_STATUS_ERROR),
}


@pytest.mark.parametrize(("counts", "status"), ENDS.values(), ids=ENDS.keys())
async def test_a_closed_batch_ends_with_its_last_job(batch, report, read, counts, status):
    await report(progress(batch.id, 1, end=ENDED, **counts))
    shown = await read(batch.id)
    assert shown.status == status
    assert shown.end_time == to_timestamp(ENDED)


async def test_an_open_batch_goes_on(create, report, read):
    batch = (await create(jobs=1, open=True)).batch
    await report(progress(batch.id, 1, end=ENDED, done=1))
    shown = await read(batch.id)
    assert shown.status == BatchStatus.BATCH_STATUS_RUNNING
    assert not shown.HasField("end_time")


async def test_jobs_that_were_not_reported_yet_are_pending(batch, report, read):
    """A report that was made before the last jobs were added must not hide them."""
    await report(progress(batch.id, 1, done=1))
    assert (await read(batch.id)).job_counts == JobCounts(pending=2, done=1)


async def test_unknown_batches_are_named(batch, report, read):
    response = await report(progress("nobody", 1, done=1), progress(batch.id, 1, running=3))
    assert response.unknown_batch_ids == ["nobody"]
    assert (await read(batch.id)).job_counts.running == 3


async def test_a_report_that_cannot_be_true_is_passed_over(create, batch, report, read):
    other = (await create()).batch
    response = await report(progress(batch.id, 1, done=4), progress(other.id, 1, done=1, end=ENDED))
    assert response.unknown_batch_ids == []
    assert (await read(batch.id)).job_counts == JobCounts(pending=3)
    assert (await read(other.id)).status == BatchStatus.BATCH_STATUS_DONE
