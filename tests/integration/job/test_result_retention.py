"""Results are kept as long as an operator wants them; their jobs are kept longer.

In a folder and in S3.
"""

import grpc
import httpx
import pytest

from tweezer.database.timestamps import now_micros
from tweezer.internal.v1 import lease_service_pb2 as lease_pb
from tweezer.job.metrics import JobMetrics
from tweezer.job.result_retention import ResultRetention
from tweezer.job.result_sweep import ResultSweep
from tweezer.job.result_url import open_results
from tweezer.job.results import ResultStore
from tweezer.job.store import result_rows
from tweezer.process.metrics import Metrics
from tweezer.v1 import job_pb2
from tweezer.v1 import job_service_pb2 as pb

DAY = 24 * 3600 * 1_000_000


@pytest.fixture(params=["folder", "s3"])
def result_place(request) -> str:
    return request.param


async def done(process) -> str:
    await process.add(1)
    (lease,) = await process.lease()
    assert await process.finish(lease.token, result=b'{"counter": {}}')
    return lease.job_id


def later(days: float):
    return lambda: now_micros() + round(days * DAY)


async def refusal(call) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    return refused.value.code(), refused.value.details()


async def test_an_old_result_goes_and_the_job_stays(
    tables, database, process, member, stored, result_place
) -> None:
    job_id = await done(process)
    link = pb.GetResultLinkRequest(job_id=job_id)
    found = await process.jobs.GetResultLink(link, metadata=member)
    results = await open_results(process.settings)
    assert await ResultRetention(database, results, later(2.9), days=3).remove_old() == 0
    assert len(stored.results()) == 1
    assert await ResultRetention(database, results, later(3.1), days=3).remove_old() == 1
    assert stored.results() == []
    job = (await process.jobs.GetJob(pb.GetJobRequest(job_id=job_id), metadata=member)).job
    assert job.status == job_pb2.JOB_STATUS_DONE
    sentence = f"the result of job {job_id} is no longer stored"
    for call in (
        process.jobs.GetResult(pb.GetResultRequest(job_id=job_id), metadata=member).read(),
        process.jobs.GetResultLink(link, metadata=member),
    ):
        assert await refusal(call) == (grpc.StatusCode.NOT_FOUND, sentence)
    if result_place == "folder":
        download = pb.DownloadResultRequest(ticket=found.ticket)
        refused = await refusal(process.jobs.DownloadResult(download).read())
        assert refused == (grpc.StatusCode.NOT_FOUND, sentence)
    else:
        async with httpx.AsyncClient(trust_env=False) as http:
            assert (await http.get(found.url)).status_code == 404
    assert await ResultRetention(database, results, later(3.2), days=3).remove_old() == 0


async def test_results_are_kept_for_ever_unless_it_is_set(tables, database, tmp_path) -> None:
    results = ResultStore.in_folder(tmp_path / "results")
    assert await ResultRetention(database, results, later(10_000), days=None).remove_old() == 0


@pytest.mark.parametrize("result_place", ["folder"])
async def test_more_than_one_step(tables, database, process, stored) -> None:
    await process.add(600)
    ends = [
        lease_pb.JobOutcome(token=each.token, result=b"{}") for each in await process.lease(600)
    ]
    await process.leases.FinishJobs(lease_pb.FinishJobsRequest(outcomes=ends))
    results = await open_results(process.settings)
    assert await ResultRetention(database, results, later(2), days=1).remove_old() == 600
    assert stored.results() == []


async def test_the_service_removes_them(tables, run_jobs, stored) -> None:
    async with run_jobs() as process:
        await done(process)
    tables(lambda c: c.exec_driver_sql(f"UPDATE job SET end_at = end_at - {2 * DAY}"))
    async with run_jobs(result_retention_days=1) as process:
        while stored.results():
            await process.lease()
    (job,) = tables.rows("SELECT status, result_removed_at FROM job")
    assert job["status"] == "DONE"
    assert job["result_removed_at"] is not None


async def test_a_crash_after_the_rows_leaves_the_rest_to_the_sweep(
    tables, database, process, stored
) -> None:
    await done(process)
    (old,) = await database.scan(lambda c: result_rows.stored(c, later(2)()))
    await database.write(lambda c: result_rows.record_removal(c, [old], later(2)()))
    assert len(stored.results()) == 1
    sweep = ResultSweep(
        database,
        await open_results(process.settings),
        later(2),
        JobMetrics(Metrics()),
        delay_s=0,
        interval_s=1,
        grace_s=3600,
    )
    await sweep.sweep()
    assert stored.results() == []
