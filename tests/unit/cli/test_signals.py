import asyncio
import os
import signal

import pytest

from tweezer.cli.signals import stop_requests, until_set


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_asks_to_stop_but_not_by_force(number):
    async with stop_requests() as requests:
        os.kill(os.getpid(), number)
        await requests.stop.wait()
        assert not requests.force.is_set()


async def test_the_second_interrupt_asks_for_force():
    async with stop_requests() as requests:
        os.kill(os.getpid(), signal.SIGINT)
        await requests.stop.wait()
        os.kill(os.getpid(), signal.SIGINT)
        await requests.force.wait()


async def test_the_event_cancels_all_work():
    event, ends = asyncio.Event(), []

    async def work(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ends.append(name)

    async def first() -> None:
        event.set()
        await work("first")

    await until_set(event, first(), work("second"))
    assert sorted(ends) == ["first", "second"]


async def test_the_first_work_that_ends_cancels_the_other():
    cancelled = asyncio.Event()

    async def for_ever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async def at_once() -> None:
        return None

    await until_set(asyncio.Event(), for_ever(), at_once())
    assert cancelled.is_set()


async def test_an_error_of_the_work_is_raised():
    async def fails() -> None:
        raise LookupError("here")

    with pytest.raises(LookupError, match="here"):
        await until_set(asyncio.Event(), asyncio.Event().wait(), fails())
