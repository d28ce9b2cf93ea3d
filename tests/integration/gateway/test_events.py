"""Batches watched as server-sent events, over the network."""

import asyncio

import grpc
import httpx
import pytest
import structlog

from tweezer.gateway.asgi.crash_guard import CrashGuard
from tweezer.gateway.server import serve
from tweezer.rpc.errors import NotFound
from tweezer.v1 import batch_pb2
from tweezer.v1 import batch_service_pb2 as batch

BATCH = "00000000-0000-0000-0000-000000000002"
PATH = f"/api/v1/batches/{BATCH}/events"

PENDING = batch.WatchBatchResponse(
    status=batch_pb2.BATCH_STATUS_PENDING, job_counts=batch_pb2.JobCounts(pending=1)
)
DONE = batch.WatchBatchResponse(
    status=batch_pb2.BATCH_STATUS_DONE, job_counts=batch_pb2.JobCounts(done=1)
)


@pytest.fixture
async def http(server_port):
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{server_port}", headers={"Authorization": "Bearer the-token"}
    ) as http:
        yield http


async def test_each_state_is_an_event_and_the_stream_ends_with_the_batch(http, services):
    response = await http.get(f"/core-fast{PATH}")

    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["cache-control"] == "no-cache"
    assert response.text.split("\n\n") == [
        'event: status\ndata: {"status":"PENDING","jobs_count_per_status":{"PENDING":2}}',
        'event: status\ndata: {"status":"RUNNING","jobs_count_per_status":{"RUNNING":2}}',
        'event: status\ndata: {"status":"DONE","jobs_count_per_status":{"DONE":2}}',
        "",
    ]
    assert services.last.request == batch.WatchBatchRequest(batch_id=BATCH)
    assert services.last.metadata["authorization"] == "Bearer the-token"
    # A batch may take long.
    assert services.last.seconds_left > 3000


async def test_an_event_is_sent_when_it_happens(http, services):
    seen = asyncio.Event()

    async def states():
        yield PENDING
        await seen.wait()
        yield DONE

    services.answers["WatchBatch"] = states()
    texts = []
    async with asyncio.timeout(20), http.stream("GET", PATH) as response:
        async for text in response.aiter_text():
            texts.append(text)
            seen.set()

    assert [text.count("event: status") for text in texts] == [1, 1]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NotFound(f"batch {BATCH} not found"), 404),
        ([], 500),
    ],
)
async def test_a_batch_that_cannot_be_watched(http, services, error, status):
    services.answers["WatchBatch"] = error

    response = await http.get(PATH)

    assert response.status_code == status
    assert response.headers["content-type"] == "application/json"
    assert response.json()["code"] == str(status)


async def test_a_malformed_identifier(http, services):
    response = await http.get("/api/v1/batches/mine/events")

    assert response.status_code == 422
    assert services.calls == []


async def test_a_stream_that_breaks_off_does_not_look_ended(http, services, fails):
    services.answers["WatchBatch"] = [PENDING, fails(grpc.StatusCode.UNAVAILABLE, "restarting")]

    with pytest.raises(httpx.RemoteProtocolError):
        await http.get(PATH)


async def test_a_caller_that_goes_away_ends_the_call(http, services):
    ended = asyncio.Event()

    async def states():
        try:
            yield PENDING
            await asyncio.Event().wait()
        finally:
            ended.set()

    services.answers["WatchBatch"] = states()
    async with http.stream("GET", PATH) as response:
        await anext(response.aiter_text())

    async with asyncio.timeout(20):
        await ended.wait()


class TestSilence:
    @pytest.fixture
    def more_settings(self):
        return {"gateway_events_keep_alive": 0.01}

    async def test_comments_keep_the_connection_open(self, http, services):
        enough = asyncio.Event()

        async def states():
            yield PENDING
            await enough.wait()
            yield DONE

        services.answers["WatchBatch"] = states()
        text = ""
        async with asyncio.timeout(20), http.stream("GET", PATH) as response:
            async for more in response.aiter_text():
                text += more
                if text.count(": keep-alive\n\n") == 2:
                    enough.set()

        assert text.count("event: status\n") == 2
        assert text.endswith('data: {"status":"DONE","jobs_count_per_status":{"DONE":1}}\n\n')


class TestNoAnswer:
    @pytest.fixture
    def more_settings(self):
        return {"gateway_call_deadline": 0.1}

    async def test_a_service_that_says_nothing_is_given_up(self, http, services):
        ended = asyncio.Event()

        async def states():
            try:
                await asyncio.Event().wait()
                yield PENDING
            finally:
                ended.set()

        services.answers["WatchBatch"] = states()

        assert (await http.get(PATH)).status_code == 504
        async with asyncio.timeout(20):
            await ended.wait()


async def test_stopping_ends_streams_at_once(settings, services):
    ended = asyncio.Event()

    async def states():
        try:
            yield PENDING
            await asyncio.Event().wait()
        finally:
            ended.set()

    services.answers["WatchBatch"] = states()
    # Without the signal to the streams this test would not end.
    patient = settings.model_copy(update={"gateway_shutdown_grace": 3600})
    stop = asyncio.Event()
    listening = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(serve(patient, stop, listening))
    async with (
        asyncio.timeout(20),
        httpx.AsyncClient(headers={"Authorization": "Bearer x"}) as http,
    ):
        async with http.stream("GET", f"http://127.0.0.1:{await listening}{PATH}") as response:
            texts = response.aiter_text()
            assert (await anext(texts)).startswith("event: status\n")
            stop.set()
            assert [text async for text in texts] == []
        await serving
        await ended.wait()


async def test_a_stream_that_breaks_off_is_one_line_in_the_log(http, services, fails, caplog):
    """The process stops, or a service does: nobody must look for a mistake."""
    services.answers["WatchBatch"] = [PENDING, fails(grpc.StatusCode.UNAVAILABLE, "restarting")]
    with structlog.testing.capture_logs() as lines, pytest.raises(httpx.RemoteProtocolError):
        await http.get(PATH)
    (line,) = [line for line in lines if line["event"] == "an answer broke off"]
    assert (line["log_level"], line["grpc_code"]) == ("warning", "UNAVAILABLE")
    assert not [record for record in caplog.records if record.exc_info]


async def test_a_stream_that_nobody_reads_is_cut_off_in_one_line():
    """The server gives it up when its time is over; the stream itself is about to end anyway."""
    guarded = CrashGuard(_streaming_for_ever)
    scope = {"type": "http", "method": "GET", "path": PATH, "headers": [], "state": {}}
    sent = asyncio.Queue()
    task = asyncio.create_task(guarded(scope, asyncio.Event().wait, sent.put))
    assert (await sent.get())["type"] == "http.response.start"
    with structlog.testing.capture_logs() as lines:
        task.cancel()
        await task
    assert [line["log_level"] for line in lines] == ["info"]
    assert sent.empty()  # what has no end is not taken for whole


async def _streaming_for_ever(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await asyncio.Event().wait()
