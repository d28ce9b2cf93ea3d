import asyncio

import pytest

from tweezer.process.keep_going import keep_going


class Passing(Exception):
    pass


async def test_a_loop_begins_again_after_what_passes() -> None:
    begun = 0

    async def loop() -> None:
        nonlocal begun
        begun += 1
        if begun < 3:
            raise Passing("not now")
        reached.set()
        await asyncio.Event().wait()

    reached = asyncio.Event()
    task = asyncio.create_task(keep_going("loop", loop, Passing))
    await reached.wait()
    assert begun == 3
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_loop_ends_with_what_does_not_pass() -> None:
    async def loop() -> None:
        raise LookupError("a mistake")

    with pytest.raises(LookupError, match="a mistake"):
        await keep_going("loop", loop, Passing)
