"""Results: the link, the download without a token, the parts in which they come.

In a folder and in S3.
"""

import asyncio
import json
import uuid

import grpc
import httpx
import pytest

from tweezer.database.timestamps import now_micros
from tweezer.job.outcomes import HeldJob
from tweezer.job.result_url import open_results
from tweezer.job.results import CHUNK_BYTES, result_key
from tweezer.job.tickets import TicketOffice
from tweezer.rpc.service_key import read_service_key
from tweezer.v1 import job_service_pb2 as pb


@pytest.fixture(params=["folder", "s3"])
def result_place(request) -> str:
    return request.param


async def done(process, result: bytes = b'{"counter": {}}') -> str:
    await process.add(1)
    (lease,) = await process.lease()
    assert await process.finish(lease.token, result=result)
    return lease.job_id


async def link(process, credentials, job_id: str) -> pb.GetResultLinkResponse:
    return await process.jobs.GetResultLink(
        pb.GetResultLinkRequest(job_id=job_id), metadata=credentials
    )


async def follow(process, found: pb.GetResultLinkResponse) -> bytes:
    """Downloads what a link leads to, without any credential."""
    if found.WhichOneof("location") == "ticket":
        return b"".join(await download(process, found.ticket))
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = (await http.get(found.url)).raise_for_status()
    assert answer.headers["content-type"] == "application/json"
    return answer.content


async def download(process, ticket: str) -> list[bytes]:
    request = pb.DownloadResultRequest(ticket=ticket)
    return [part.chunk async for part in process.jobs.DownloadResult(request)]


async def refusal(call) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    return refused.value.code(), refused.value.details()


async def test_a_link_works_without_a_token(process, member, result_place) -> None:
    job_id = await done(process, b'{"counter": {"01": 2}}')
    found = await link(process, member, job_id.upper())
    assert found.WhichOneof("location") == {"folder": "ticket", "s3": "url"}[result_place]
    assert await follow(process, found) == b'{"counter": {"01": 2}}'


async def test_a_link_says_when_it_expires(run_jobs, member) -> None:
    async with run_jobs(result_link_lifetime_s=600) as process:
        job_id = await done(process)
        before = now_micros() // 1_000_000
        found = await link(process, member, job_id)
        assert before + 600 <= found.expire_time.seconds <= now_micros() // 1_000_000 + 600


async def test_there_is_no_link_while_there_is_no_result(process, member) -> None:
    added = await process.add(2)
    waiting, failing = (job.id for job in added.jobs)
    assert await link(process, member, waiting) == pb.GetResultLinkResponse()
    _, lease = await process.lease(2)
    assert lease.job_id == failing
    assert await link(process, member, failing) == pb.GetResultLinkResponse()
    await process.finish(lease.token, failure="It cannot be done.")
    assert await link(process, member, failing) == pb.GetResultLinkResponse()


@pytest.mark.parametrize(
    "length", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 5 * CHUNK_BYTES + 7]
)
async def test_results_come_in_parts(process, member, result_place, length: int) -> None:
    result = bytes(index % 251 for index in range(length))
    job_id = await done(process, result)
    found = await link(process, member, job_id)
    assert await follow(process, found) == result
    call = process.jobs.GetResult(pb.GetResultRequest(job_id=job_id), metadata=member)
    sent = [[part.chunk async for part in call]]
    if result_place == "folder":
        sent.append(await download(process, found.ticket))
    for parts in sent:
        assert b"".join(parts) == result
        assert all(len(part) <= CHUNK_BYTES for part in parts)
        # The network cuts where it likes.
        spare = 0 if result_place == "folder" else length // CHUNK_BYTES
        assert 0 <= len(parts) - -(-length // CHUNK_BYTES) <= spare


async def test_a_job_without_result_has_none_to_get(process, member) -> None:
    added = await process.add(1)
    request = pb.GetResultRequest(job_id=added.jobs[0].id)
    code, details = await refusal(process.jobs.GetResult(request, metadata=member).read())
    assert code is grpc.StatusCode.NOT_FOUND
    assert details == f"job {added.jobs[0].id} has no result"


@pytest.mark.parametrize("result_place", ["folder"])
async def test_a_bad_ticket_is_no_link(process, member) -> None:
    job_id = await done(process)
    good = (await link(process, member, job_id)).ticket
    key = read_service_key(process.settings.result_ticket_key_file)
    expired = TicketOffice(key, 60, clock=lambda: now_micros() - 61_000_000).issue(job_id).text
    foreign = TicketOffice("f" * 43, 60).issue(job_id).text
    tampered = good[:-10] + ("A" if good[-10] != "A" else "B") + good[-9:]
    for ticket in (expired, foreign, tampered, "", "x"):
        code, details = await refusal(download(process, ticket))
        assert code is grpc.StatusCode.NOT_FOUND
        assert details == "this link is not valid or has expired"
    assert await download(process, good) == [b'{"counter": {}}']


async def test_a_link_is_for_one_job(process, member) -> None:
    first, second = await done(process, b"1"), await done(process, b"2")
    for job_id, result in ((first, b"1"), (second, b"2")):
        assert await follow(process, await link(process, member, job_id)) == result


async def test_a_ticket_for_a_job_that_is_not_there(process, member) -> None:
    key = read_service_key(process.settings.result_ticket_key_file)
    ticket = TicketOffice(key, 60).issue(str(uuid.uuid4())).text
    code, _ = await refusal(download(process, ticket))
    assert code is grpc.StatusCode.NOT_FOUND


async def test_a_result_that_somebody_deleted_is_told(process, member, stored) -> None:
    job_id = await done(process)
    (key,) = stored.results()
    stored.remove(key)
    request = pb.GetResultRequest(job_id=job_id)
    code, details = await refusal(process.jobs.GetResult(request, metadata=member).read())
    assert code is grpc.StatusCode.NOT_FOUND
    assert details == f"the result of job {job_id} is no longer stored"


async def test_results_lie_by_project_batch_and_job(process, stored) -> None:
    job_id = await done(process)
    ((batch_id, key),) = process.rows("SELECT batch_id, result_key FROM job")
    assert stored.results() == [key]
    project, batch, name = key.split("/")
    assert (project, batch) == ("11111111-1111-4111-8111-111111111111", batch_id)
    assert name.startswith(job_id)


async def test_a_result_put_before_a_crash_goes_with_its_lease(process, stored) -> None:
    """The process ended between putting a result and recording it; the worker never came back."""
    added = await process.add(1)
    (lease,) = await process.lease(duration=2)  # the result must be there before it runs out
    ((number,),) = process.rows("SELECT seq FROM job")
    held = HeldJob(number, lease.job_id, added.batch.id, added.batch.project_id, *[None] * 7)
    results = await open_results(process.settings)
    await results.put({result_key(held, lease.token): json.dumps({}).encode()})
    (again,) = await process.lease(wait=60)
    assert again.attempt == 2
    await process.finish(again.token, result=b"2")
    async with asyncio.timeout(60):
        # The job is leased again before the store has removed what belonged to the first lease.
        while len(kept := stored.results()) > 1:  # noqa: ASYNC110 - a store tells nobody
            await asyncio.sleep(0.05)
    assert [part async for part in await results.open(kept[0])] == [b"2"]
