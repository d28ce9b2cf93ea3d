"""Too much to do is refused at once, and what keeps the gateway waiting is given up."""

import asyncio

import httpx
import pytest

from tweezer.gateway.schemas.envelopes import Failure
from tweezer.v1 import batch_pb2
from tweezer.v1 import batch_service_pb2 as batch

BATCH = "00000000-0000-0000-0000-000000000002"
GET = f"/api/v2/batches/{BATCH}"
EVENTS = f"/api/v1/batches/{BATCH}/events"


@pytest.fixture
def more_settings():
    return {"gateway_max_requests": 2, "gateway_max_streams": 1, "gateway_body_patience": 0.2}


@pytest.fixture
async def http(server_port):
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{server_port}", headers={"Authorization": "Bearer the-token"}
    ) as http:
        yield http


class HeldBack:
    """An answer that waits until it may go, and tells when it was asked for."""

    def __init__(self, answer):
        self.answer, self.asked, self.may_go = answer, asyncio.Semaphore(0), asyncio.Event()

    async def __call__(self, _):
        self.asked.release()
        await self.may_go.wait()
        return self.answer


@pytest.fixture
def held_back(services):
    held_back = HeldBack(services.answers["GetBatch"])
    services.answers["GetBatch"] = held_back
    return held_back


@pytest.fixture
async def busy(http, held_back):
    """As many requests under way as there may be."""
    requests = [asyncio.create_task(http.get(GET)) for _ in range(2)]
    async with asyncio.timeout(20):
        for _ in requests:
            await held_back.asked.acquire()
    return requests


async def test_what_is_too_much_is_refused_at_once_and_can_be_tried_again(http, held_back, busy):
    refused = await http.post("/core-fast/api/v1/batches", json={})

    assert refused.status_code == 429
    assert refused.headers["retry-after"] == "1"
    assert refused.headers["x-request-id"]
    Failure.model_validate(refused.json())
    held_back.may_go.set()
    assert [answer.status_code for answer in await asyncio.gather(*busy)] == [200, 200]
    assert (await http.get(GET)).status_code == 200


@pytest.mark.parametrize("prefix", ["", "/core-fast"])
@pytest.mark.parametrize("path", ["/health", "/ready", "/metrics"])
async def test_operators_are_answered_all_the_same(http, held_back, busy, prefix, path):
    assert (await http.get(prefix + path)).status_code == 200

    held_back.may_go.set()
    await asyncio.gather(*busy)


async def test_streams_have_a_limit_of_their_own(http, services):
    go_on = asyncio.Event()

    async def states():
        yield batch.WatchBatchResponse(status=batch_pb2.BATCH_STATUS_PENDING)
        await go_on.wait()

    services.answers["WatchBatch"] = states()
    async with asyncio.timeout(20), http.stream("GET", EVENTS) as stream:
        await anext(stream.aiter_text())
        assert (await http.get(EVENTS)).status_code == 429
        assert (await http.get(GET)).status_code == 200
        go_on.set()


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 10\r\n\r\n",
        b"Content-Length: 10\r\n\r\n{",
        b"Transfer-Encoding: chunked\r\n\r\n",
    ],
)
async def test_a_body_that_does_not_come_is_given_up(server_port, head):
    reader, writer = await asyncio.open_connection("127.0.0.1", server_port)
    try:
        writer.write(
            b"POST /api/v1/batches HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x\r\n" + head
        )
        async with asyncio.timeout(20):
            answer = await reader.read()
    finally:
        writer.close()

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"408"' in answer
    assert b"connection: close" in answer.lower()
