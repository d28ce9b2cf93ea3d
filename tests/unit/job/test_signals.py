import asyncio

import pytest

from tweezer.job.signals import Alarm, Notices, Pulse, to_the_end

#: Later than any test.
FAR = 1e12


async def test_a_pulse_wakes_everybody_who_waits() -> None:
    pulse = Pulse()
    waiting = [asyncio.create_task(pulse.next().wait()) for _ in range(3)]
    await asyncio.sleep(0)
    pulse.send()
    assert await asyncio.gather(*waiting) == [True] * 3


async def test_a_pulse_between_the_look_and_the_wait_is_not_missed() -> None:
    pulse = Pulse()
    event = pulse.next()
    pulse.send()
    await event.wait()
    assert not pulse.next().is_set()


async def test_closing_wakes_for_the_last_time() -> None:
    pulse = Pulse()
    waiting = asyncio.create_task(pulse.next().wait())
    await asyncio.sleep(0)
    pulse.close()
    await waiting
    assert pulse.closed


async def test_a_notice_reaches_those_who_wait_for_the_name() -> None:
    notices = Notices()
    with notices.watch(["a", "b"]) as first, notices.watch(["b"]) as second:
        waiting = asyncio.create_task(first.news(FAR))
        await asyncio.sleep(0)
        notices.send(["x", "a"])
        assert await waiting
        assert (first.take(), second.take()) == (["a"], [])
        notices.send(["b"])
        assert await second.news(0)
        assert (first.take(), second.take()) == (["b"], ["b"])


async def test_a_notice_between_the_look_and_the_wait_is_not_missed() -> None:
    notices = Notices()
    with notices.watch(["a"]) as watch:
        notices.send(["a"])
        assert await watch.news(FAR)
        assert watch.take() == ["a"]
        assert not await watch.news(0)


async def test_notices_end_with_the_watch_however_it_ends() -> None:
    notices = Notices()

    async def wait() -> None:
        with notices.watch(["a", "a", "b"]) as watch:
            await watch.news(FAR)

    waiting = [asyncio.create_task(wait()) for _ in range(3)]
    await asyncio.sleep(0)
    for task in waiting:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert notices._watches == {}


async def test_closed_notices_let_nobody_wait() -> None:
    notices = Notices()
    with notices.watch(["a"]) as before:
        waiting = asyncio.create_task(before.news(FAR))
        await asyncio.sleep(0)
        notices.close()
        assert not await waiting
        assert not await before.news(FAR)
        with notices.watch(["a"]) as after:
            assert not await after.news(FAR)


async def test_released_notices_let_those_look_again_who_wait_now() -> None:
    notices = Notices()
    with notices.watch(["a"]) as before:
        waiting = asyncio.create_task(before.news(FAR))
        await asyncio.sleep(0)
        notices.release()
        assert not await waiting
    with notices.watch(["a"]) as after:
        waiting = asyncio.create_task(after.news(FAR))
        await asyncio.sleep(0)
        assert not waiting.done()
        notices.send(["a"])
        assert await waiting


async def test_an_alarm_can_be_told_to_look_now() -> None:
    alarm = Alarm(clock=lambda: 10)
    alarm.set(3_600_000_000)
    ringing = asyncio.create_task(alarm.ring())
    await asyncio.sleep(0)
    alarm.look()
    await ringing


async def test_an_alarm_without_a_time_waits_until_it_has_one() -> None:
    alarm = Alarm(clock=lambda: 10)
    alarm.set(None)
    ringing = asyncio.create_task(alarm.ring())
    await asyncio.sleep(0)
    assert not ringing.done()
    alarm.set(10)
    await ringing


async def test_an_alarm_rings_at_the_earliest_time() -> None:
    alarm = Alarm(clock=lambda: 0)
    alarm.set(3_600_000_000)
    ringing = asyncio.create_task(alarm.ring())
    await asyncio.sleep(0)
    alarm.set(7_200_000_000)
    alarm.set(0)
    await ringing


async def test_an_alarm_waits_for_the_time_itself() -> None:
    times = iter([0, 20_000, 20_000])
    alarm = Alarm(clock=lambda: next(times))
    alarm.set(20_000)
    await alarm.ring()
    assert next(times, None) == 20_000  # it looked at the clock, waited, and looked again


async def test_a_cleared_alarm_forgets_its_time() -> None:
    alarm = Alarm(clock=lambda: 10)
    alarm.set(0)
    alarm.clear()
    ringing = asyncio.create_task(alarm.ring())
    await asyncio.sleep(0)
    assert not ringing.done()
    ringing.cancel()


async def test_work_returns_what_it_found() -> None:
    async def work() -> int:
        return 7

    assert await to_the_end(work()) == 7


async def test_work_ends_although_its_caller_goes_away_and_is_undone() -> None:
    may_end, undone = asyncio.Event(), list[int]()

    async def work() -> int:
        await may_end.wait()
        return 7

    async def undo(found: int) -> None:
        undone.append(found)

    caller = asyncio.create_task(to_the_end(work(), undo))
    await asyncio.sleep(0)
    caller.cancel()
    await asyncio.sleep(0)
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert undone == [7]


async def test_nothing_is_undone_when_the_caller_stays() -> None:
    async def work() -> int:
        return 7

    async def undo(found: int) -> None:
        raise AssertionError("undone")

    assert await to_the_end(work(), undo) == 7


async def test_failed_work_fails() -> None:
    async def work() -> int:
        raise LookupError

    with pytest.raises(LookupError):
        await to_the_end(work())
