"""What becomes of a request that is cut off."""

import asyncio
import json

from tweezer.gateway.asgi.crash_guard import CrashGuard

SCOPE = {"type": "http", "path": "/", "state": {"request_id": "r"}}


async def receive():
    raise AssertionError("nobody reads")


async def cut_off(app):
    """Cancels a request once the application waits; returns what was sent."""
    sent, waits = [], asyncio.Event()

    async def send(message):
        sent.append(message)

    async def waiting(scope, receive, send):
        await app(send)
        waits.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(CrashGuard(waiting)(SCOPE, receive, send))
    await waits.wait()
    task.cancel()
    await asyncio.wait([task])
    return sent, task


async def test_a_request_without_an_answer_may_be_sent_again():
    async def nothing(send):
        pass

    (start, body), _ = await cut_off(nothing)
    assert start["status"] == 503
    assert b"retry-after" in dict(start["headers"])
    assert json.loads(body["body"])["status"] == "error"


async def test_half_an_answer_is_not_taken_for_one():
    async def begin(send):
        await send({"type": "http.response.start", "status": 200, "headers": []})

    sent, task = await cut_off(begin)
    assert len(sent) == 1
    assert task.result() is None  # uvicorn breaks the connection of an answer that has no end
