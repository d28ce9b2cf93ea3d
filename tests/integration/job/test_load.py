"""More than the service takes: turned away with a sentence, and taken later."""

import grpc
import pytest

from tweezer.job.intake import Intake
from tweezer.job.result_streams import ResultStreams
from tweezer.job.store import backlog
from tweezer.rpc.errors import TooMuch
from tweezer.v1 import job_service_pb2 as pb


async def refusal(call) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    return refused.value.code(), refused.value.details()


async def taken(process) -> bool:
    try:
        await process.enqueue(1)
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
            return False
        raise
    return True


async def test_the_queue_takes_no_more_than_it_shall(run_jobs) -> None:
    async with run_jobs(max_unfinished_jobs=5) as process:
        await process.add(3)
        await process.enqueue(2)  # held ones count as well
        code, details = await refusal(process.enqueue(1))
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert details == (
            "5 jobs wait or run already, and the queue takes 5; try again when some are finished"
        )
        first, *_ = await process.lease(3)
        await process.finish(first.token, result=b"{}")
        while not await taken(process):  # it counts again after a moment
            pass


async def test_jobs_are_counted_now_and_then(tables, database) -> None:
    now = 0
    intake = Intake(database, 10, lambda: now)
    tables.add(6)
    await intake.admit(3)
    tables.add(3)
    await intake.admit(1)  # as this process has taken in 9 so far
    with pytest.raises(TooMuch):
        await intake.admit(1)
    tables(lambda c: c.exec_driver_sql("UPDATE queued_batch SET pending = 0"))
    with pytest.raises(TooMuch):
        await intake.admit(1)  # not counted again so soon
    now = 300_000
    await intake.admit(10)


def test_finished_jobs_do_not_count(tables) -> None:
    tables.add(4)
    running = tables.add(2)
    tables.intend(running.batch.id, 2, cancelled=True)
    tables.enqueue(tables.addition(3))
    assert tables(backlog.unfinished_jobs) == 7


def test_an_empty_queue_has_nothing_unfinished(tables) -> None:
    assert tables(backlog.unfinished_jobs) == 0


async def done(process, result: bytes) -> str:
    await process.add(1)
    (lease,) = await process.lease()
    assert await process.finish(lease.token, result=result)
    return lease.job_id


async def test_a_client_that_goes_away_gives_its_stream_back(run_jobs, member) -> None:
    async with run_jobs(max_result_streams=1) as process:
        job_id = await done(process, b" " * 8 * 1024 * 1024)
        request = pb.GetResultRequest(job_id=job_id)
        for _ in range(5):
            call = process.jobs.GetResult(request, metadata=member)
            await call.read()
            call.cancel()
        whole = process.jobs.GetResult(request, metadata=member)
        assert sum([len(part.chunk) async for part in whole]) == 8 * 1024 * 1024


async def test_streams_beyond_the_limit_are_turned_away() -> None:
    streams = ResultStreams(at_once=2, patience_s=0.01)
    async with streams.one(), streams.one():
        with pytest.raises(TooMuch, match="try again"):
            async with streams.one():
                raise AssertionError("a third one")
    async with streams.one(), streams.one():
        pass
