"""How long a job may run, and from when the time counts."""

import asyncio
import math
from collections.abc import Callable

import pytest

from tweezer.execution.emulators.task import JobError
from tweezer.execution.time_limits import TimeLimits

Report = Callable[[int], None]


def ignore(_: int) -> None:
    pass


async def begin_and_hang(report: Report) -> bytes:
    report(0)
    await asyncio.Event().wait()
    raise AssertionError


@pytest.mark.parametrize(
    ("device_type", "limit_s"), [("EMU_FREE", 60.0), ("FRESNEL", 600.0), ("EMU_MPS", math.inf)]
)
def test_a_device_type_may_have_its_own(device_type: str, limit_s: float) -> None:
    assert TimeLimits(600, {"EMU_FREE": 60, "EMU_MPS": math.inf}).of(device_type) == limit_s


@pytest.mark.parametrize(("limit_s", "words"), [(0.01, "0.01 s"), (0.02, "0.02 s")])
async def test_work_that_takes_too_long_is_cancelled(limit_s: float, words: str) -> None:
    cancelled = False

    async def work(report: Report) -> bytes:
        nonlocal cancelled
        try:
            return await begin_and_hang(report)
        except asyncio.CancelledError:
            cancelled = True
            raise

    with pytest.raises(JobError, match=rf"time limit of {words}\.$"):
        await TimeLimits(limit_s, {}).run("EMU_FREE", work, ignore)
    assert cancelled


async def test_waiting_for_a_worker_does_not_count() -> None:
    async def work(report: Report) -> bytes:
        await asyncio.sleep(0.05)  # many times the limit
        report(0)
        report(100)
        return b"{}"

    reported: list[int] = []
    assert await TimeLimits(0.005, {}).run("EMU_FREE", work, reported.append) == b"{}"
    assert reported == [0, 100]


async def test_progress_does_not_prolong_it() -> None:
    async def work(report: Report) -> bytes:
        for percentage in range(1000):
            report(percentage)
            await asyncio.sleep(0.001)
        raise AssertionError

    with pytest.raises(JobError):
        await TimeLimits(0.02, {}).run("EMU_FREE", work, ignore)


async def test_a_cancel_from_outside_stays_a_cancel() -> None:
    work = asyncio.create_task(TimeLimits(60, {}).run("EMU_FREE", begin_and_hang, ignore))
    await asyncio.sleep(0)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work


async def test_a_time_out_of_the_work_itself_is_not_the_limit() -> None:
    async def work(report: Report) -> bytes:
        report(0)
        raise TimeoutError("of something else")

    with pytest.raises(TimeoutError, match="of something else"):
        await TimeLimits(60, {}).run("EMU_FREE", work, ignore)


async def test_no_limit() -> None:
    async def work(report: Report) -> bytes:
        report(0)
        return b"{}"

    assert await TimeLimits(math.inf, {}).run("EMU_FREE", work, ignore) == b"{}"
