"""Messages reach real web servers, whatever these and others do."""

import asyncio
import json

import pytest
from standardwebhooks import Webhook

MINUTE = 60_000_000
DAY = 24 * 60 * MINUTE


def answer(code, *headers):
    return "\r\n".join([f"HTTP/1.1 {code} X", "Content-Length: 0", *headers, "", ""]).encode()


async def test_a_message_is_signed_and_delivered_once(post, receive):
    post, receiver = post(), await receive()
    post.announce(receiver.url, "job.done", id="job-1", status="DONE")
    async with post.running():
        request = await receiver.next()
        (message,) = await post.messages(delivered=1)
    assert request.head == "POST /hook HTTP/1.1"
    assert request.headers["content-type"] == "application/json"
    body = json.loads(request.body)
    assert body["type"] == "job.done"
    assert body["data"] == {"id": "job-1", "status": "DONE"}
    assert body["timestamp"] == "2027-01-15T08:00:00Z"
    assert request.headers["webhook-id"] == message.id
    verified = Webhook(post.signer.secret("project")).verify(request.body, request.headers)
    assert verified == body
    assert (message.attempts, message.error, message.next_attempt_at) == (1, None, None)
    assert receiver.requests.empty()


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (answer(500), "The server answered 500."),
        (answer(404), "The server answered 404."),
        (
            answer(302, "Location: http://127.0.0.1:1/"),
            "The server answered 302, and redirects are not followed.",
        ),
        (b"nonsense\r\n\r\n", "The server could not be reached"),
    ],
)
async def test_what_is_not_taken_is_tried_again_later(post, receive, reply, reason):
    post = post()
    replies = [reply]
    receiver = await receive(lambda _: replies.pop() if replies else answer(200))
    post.announce(receiver.url)
    async with post.running() as loop:
        first = await receiver.next()
        (message,) = await post.messages(waiting=1)
        while not message.error:
            (message,) = await post.messages(waiting=1)
        assert message.error.startswith(reason)
        assert message.next_attempt_at == post.now + 5_000_000
        post.now = message.next_attempt_at
        loop.wake()
        second = await receiver.next()
        (message,) = await post.messages(delivered=1)
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body
    assert message.attempts == 2


async def test_waits_grow_up_to_an_hour_for_a_day(post, receive):
    post, receiver = post(), await receive(lambda _: answer(503))
    began = post.now
    post.announce(receiver.url)
    waits = []
    async with post.running() as loop:
        while True:
            await receiver.next()
            (message,) = await settled(post, len(waits) + 1)
            if message.next_attempt_at is None:
                break
            waits.append((message.next_attempt_at - post.now) / 1_000_000)
            post.now = message.next_attempt_at
            loop.wake()
    assert waits[:7] == [5, 20, 80, 320, 1280, 3600, 3600]
    assert message.status == "FAILED"
    assert message.error == "The server answered 503."
    assert DAY - 60 * MINUTE < post.now - began <= DAY


def under_way(post, message):
    """Says whether a message is due only when its sender must be dead."""
    dead_at = post.now + round((post.settings.webhook_timeout_s + 30) * 1_000_000)
    return message.next_attempt_at == dead_at


async def settled(post, attempts):
    """Waits until the attempt with this number has been recorded."""
    async with asyncio.timeout(30), post.database.changed:
        while True:
            found = await post.database.scan(lambda c: post.deliveries.messages(c, None, 10))
            if found and found[0].attempts == attempts and not under_way(post, found[0]):
                return found
            await post.database.changed.wait()


async def test_a_server_that_wants_no_more_is_left_alone(post, receive):
    post, receiver = post(), await receive(lambda _: answer(410))
    post.announce(receiver.url)
    async with post.running():
        (message,) = await post.messages(failed=1)
    assert message.attempts == 1


async def test_an_answer_that_takes_too_long_is_a_failure(post, receive):
    post, receiver = post(webhook_timeout_s=0.2), await receive(lambda _: None)
    post.announce(receiver.url)
    async with post.running():
        await receiver.next()
        (message,) = await settled(post, 1)
    assert message.error == "There was no answer within 0.2 s."


async def test_an_endless_answer_is_not_read_to_its_end(post, receive):
    endless = b"HTTP/1.1 200 X\r\nContent-Length: 1000000000\r\n\r\n" + b"a" * 1_000_000
    post, receiver = post(), await receive(lambda _: endless)
    post.announce(receiver.url)
    async with post.running():
        (message,) = await post.messages(delivered=1)
    assert message.error is None


async def test_servers_that_hang_do_not_hold_up_others(post, receive):
    post = post(webhook_concurrency=4, webhook_timeout_s=3600)
    # Known to fail, and from then on they take messages and never answer.
    failed_once = set()

    def fail_then_hang(request):
        name = request.headers["host"]
        if name in failed_once:
            return None
        failed_once.add(name)
        return answer(500)

    hanging = [await receive(fail_then_hang) for _ in range(6)]
    good = await receive()
    for receiver in hanging:
        for _ in range(5):
            post.announce(receiver.url)
    async with post.running() as loop:
        for receiver in hanging:
            await receiver.next()
        for _ in range(50):
            post.announce(good.url)
        loop.wake()
        await post.messages(waiting=30, delivered=50)
        assert sum(receiver.hanging for receiver in hanging) == 2


async def test_private_addresses_are_refused(post, receive):
    post, receiver = post(webhook_allow_private=False), await receive()
    post.announce(receiver.url)
    async with post.running():
        (refused,) = await post.messages(failed=1)
    assert refused.error == (
        "The target is refused: must not name the address 127.0.0.1, which is not public."
    )
    assert receiver.requests.empty()


async def test_a_name_that_leads_to_a_private_address_is_refused(post, receive, monkeypatch):
    post, receiver = post(webhook_allow_private=False), await receive()
    loop = asyncio.get_running_loop()
    looked_up = loop.getaddrinfo

    async def lead_home(host, port, **options):
        assert host == "rebound.example.org"
        return await looked_up("127.0.0.1", port, **options)

    monkeypatch.setattr(loop, "getaddrinfo", lead_home)
    post.announce(receiver.url.replace("127.0.0.1", "rebound.example.org"))
    async with post.running():
        (message,) = await post.messages(failed=1)
    assert message.error == (
        "The target is refused: rebound.example.org is at 127.0.0.1, which is not a public address."
    )
    assert receiver.requests.empty()


async def test_a_message_whose_sender_died_is_sent_by_the_next(post, receive):
    post, hanging = post(), await receive(lambda _: None)
    post.announce(hanging.url)
    async with post.running():
        await hanging.next()
    # The loop was cut off in the middle of the attempt.
    (message,) = await post.messages(waiting=1)
    hanging.answers = lambda _: answer(200)
    post.now = message.next_attempt_at
    async with post.running():
        again = await hanging.next()
        await post.messages(delivered=1)
    assert again.headers["webhook-id"] == message.id


async def test_two_senders_send_each_message_once(post, receive):
    post, receivers = post(), [await receive() for _ in range(3)]
    for number in range(60):
        post.announce(receivers[number % 3].url)
    async with post.running(), post.running():
        delivered = await post.messages(delivered=60)
    got = [(await each.next()).headers["webhook-id"] for each in receivers for _ in range(20)]
    assert sorted(got) == sorted(message.id for message in delivered)
    assert all(each.requests.empty() for each in receivers)


async def test_failed_messages_are_sent_again_on_request(post, receive):
    replies = [answer(410), answer(410)]
    post, receiver = post(), await receive(lambda _: replies.pop() if replies else answer(200))
    post.announce(receiver.url)
    post.announce(receiver.url)
    async with post.running() as loop:
        first, _ = await post.messages(failed=2)
        await post.database.write(lambda c: post.deliveries.send_again(c, first.id, post.now))
        loop.wake()
        await post.messages(failed=1, delivered=1)
        await post.database.write(lambda c: post.deliveries.send_all_again(c, post.now))
        loop.wake()
        await post.messages(delivered=2)


async def test_old_messages_are_forgotten(post, receive):
    post, receiver = post(webhook_keep_days=1), await receive()
    post.announce(receiver.url)
    async with post.running():
        await post.messages(delivered=1)
    post.now += DAY
    async with post.running():
        pass
    await post.messages(delivered=1)
    post.now += 1
    async with post.running():
        assert await post.messages() == []


@pytest.mark.parametrize(
    "target",
    [
        "http://\uff11\uff12\uff17.0.0.1/",
        "http://example.org/\u00e4",
        f"http://{'a' * 64}.org/",
        "http://a..b/",
    ],
)
async def test_a_url_that_nothing_can_be_sent_to_ends_the_message_and_nothing_else(
    post, receive, monkeypatch, target
):
    """Whether it is seen in time, or stored by a release that knew less of it."""
    post, receiver = post(), await receive()
    for checks in (True, False):
        if not checks:
            monkeypatch.setattr("tweezer.webhooks.sender.check_url", lambda _, allow_private: None)
        post.announce(target)
        post.announce(receiver.url)
        async with post.running():
            await receiver.next()
            number = 1 if checks else 2
            await post.messages(delivered=number, failed=number)


async def test_attempts_are_counted(post, receive):
    post = post()
    replies = [answer(410), answer(500)]
    receiver = await receive(lambda _: replies.pop() if replies else answer(200))

    async def sample(name, **labels):
        await post.metrics.text()
        return post.metrics.registry.get_sample_value(name, labels)

    async with post.running() as loop:
        post.announce(receiver.url)
        loop.wake()
        await receiver.next()
        (message,) = await post.messages(waiting=1)
        while not message.error:
            (message,) = await post.messages(waiting=1)
        assert await sample("tweezer_webhook_messages_waiting") == 1
        post.announce(receiver.url)
        post.now = message.next_attempt_at
        loop.wake()
        await post.messages(delivered=1, failed=1)
    for outcome in ("postponed", "failed", "delivered"):
        assert await sample("tweezer_webhook_attempts_total", outcome=outcome) == 1
    assert await sample("tweezer_webhook_messages_waiting") == 0
