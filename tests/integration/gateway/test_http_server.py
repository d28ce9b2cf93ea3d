"""What the HTTP server itself answers and bounds, over the network."""

import asyncio
import gzip
import json

import pytest
import requests
import structlog

from tweezer.gateway.server import serve
from tweezer.gateway.settings import GatewaySettings
from tweezer.process.run import StartFailed

PROJECT = "00000000-0000-0000-0000-000000000001"
BATCH = "00000000-0000-0000-0000-000000000002"
TOKEN = {"Authorization": "Bearer x"}

MIB = 1024 * 1024


@pytest.fixture
def more_settings():
    return {"gateway_max_body_bytes": 2 * MIB, "gateway_max_header_bytes": 8 * 1024}


async def exchange(port, *pieces):
    """Sends the pieces, and returns status and JSON body of the answer that ends the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        assert "content-type: application/json" in head
        return int(head.split()[1]), json.loads(await reader.read())
    finally:
        writer.close()


@pytest.mark.parametrize(
    "request_",
    [
        b"nonsense\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /api/v1/batches HTTP/1.1\r\nHost: x\r\nContent-Length: ten\r\n\r\n",
        b"POST /api/v1/batches HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
    ids=["no request", "no ASCII", "length", "chunk"],
)
async def test_what_is_not_http_is_answered_in_json(server_port, request_):
    with structlog.testing.capture_logs() as logs:
        status, body = await exchange(server_port, request_)

    # One that breaks off in its body has reached the application, and that is no error of ours.
    assert not [entry for entry in logs if entry["log_level"] == "error"]
    assert status == 400
    assert body["code"] == "400"
    assert body["data"] == {"description": "the request is not valid HTTP"}


@pytest.mark.parametrize("start", [b"GET /", b"GET / HTTP/1.1\r\nX-Long: ", b"GET / HTTP/1.1\r\n"])
async def test_an_endless_head_is_cut_off(server_port, start):
    async def send():
        reader, writer = await asyncio.open_connection("127.0.0.1", server_port)
        sent = 0
        try:
            writer.write(start)
            while not reader.at_eof() and sent < 64 * MIB:
                writer.write(b"X-Header: 1\r\n" * 80 if start.endswith(b"\n") else b"x" * 1024)
                await writer.drain()
                sent += 1024
        except ConnectionError:
            pass
        finally:
            writer.close()
        return sent

    assert await send() < 64 * MIB


async def test_a_body_over_the_limit_is_refused_before_it_is_sent(server_port):
    head = f"POST /api/v1/batches HTTP/1.1\r\nHost: x\r\nContent-Length: {3 * MIB}\r\n"
    head += "Authorization: Bearer x\r\n"

    status, body = await exchange(
        server_port, head.encode() + b"Expect: 100-continue\r\nConnection: close\r\n\r\n"
    )

    assert status == 413
    assert body["data"] == {"description": f"the body is larger than {2 * MIB} bytes"}


@pytest.mark.parametrize("length_known", [True, False])
async def test_the_public_http_library_sees_the_refusal_of_a_large_body(
    server_port, in_thread, length_known
):
    url = f"http://127.0.0.1:{server_port}/api/v1/batches"
    body = b" " * (8 * MIB)
    data = body if length_known else (body[at : at + MIB] for at in range(0, len(body), MIB))

    response = await in_thread(requests.post, url, data=data, headers=TOKEN)

    assert response.status_code == 413
    assert response.json()["code"] == "413"


async def test_one_connection_serves_many_requests(server_port, in_thread):
    base = f"http://127.0.0.1:{server_port}"
    body = gzip.compress(json.dumps({"project_id": PROJECT}).encode())

    def talk():
        with requests.Session() as session:
            session.headers.update(TOKEN)
            session.post(f"{base}/api/v1/batches", data=b"x" * (8 * MIB))
            return [
                session.post(
                    f"{base}/api/v1/batches", data=body, headers={"Content-Encoding": "gzip"}
                ).status_code,
                session.get(f"{base}/core-fast/api/v2/batches/{BATCH}").status_code,
                session.get(f"{base}/nowhere").status_code,
            ]

    assert await in_thread(talk) == [200, 200, 404]


async def test_a_port_that_is_taken_is_said_plainly(server_port):
    settings = GatewaySettings(gateway_port=server_port)

    with pytest.raises(StartFailed, match=f"cannot listen on 127.0.0.1:{server_port}"):
        await serve(settings, asyncio.Event())


async def test_stopping_lets_a_running_request_end(settings, services, in_thread):
    arrived, go_on = asyncio.Event(), asyncio.Event()
    answer = services.answers["GetBatch"]
    stop = asyncio.Event()
    listening = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(serve(settings, stop, listening))
    url = f"http://127.0.0.1:{await listening}/api/v2/batches/{BATCH}"

    async def held_back(request):
        arrived.set()
        await go_on.wait()
        return answer

    services.answers["GetBatch"] = held_back
    asked = asyncio.create_task(in_thread(requests.get, url, headers=TOKEN))
    await arrived.wait()
    stop.set()
    go_on.set()
    response, _ = await asyncio.gather(asked, serving)

    assert response.status_code == 200
