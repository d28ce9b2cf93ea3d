"""Outcomes of checks are kept by content, and made once."""

import asyncio

import pytest

from tweezer.batch.checks.facts import Refused
from tweezer.batch.checks.programs import _Remembered, content_hash


class Work:
    """Something that takes as long as a test wants."""

    def __init__(self):
        self.calls, self.may_end = 0, asyncio.Event()
        self.error = None

    async def __call__(self):
        self.calls += 1
        number = self.calls
        await self.may_end.wait()
        if self.error is not None:
            raise self.error
        return number


async def test_an_outcome_is_made_once():
    remembered, work = _Remembered(2), Work()
    work.may_end.set()
    assert [await remembered.get("a", work) for _ in range(3)] == [1, 1, 1]


async def test_those_who_ask_meanwhile_share_it():
    remembered, work = _Remembered(2), Work()
    waiting = [asyncio.ensure_future(remembered.get("a", work)) for _ in range(5)]
    await asyncio.sleep(0)
    work.may_end.set()
    assert await asyncio.gather(*waiting) == [1] * 5


async def test_one_who_goes_away_takes_nothing_along():
    remembered, work = _Remembered(2), Work()
    first, second = (asyncio.ensure_future(remembered.get("a", work)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    work.may_end.set()
    assert await second == 1
    assert first.cancelled()


async def test_a_refusal_reaches_all_and_is_not_kept():
    remembered, work = _Remembered(2), Work()
    work.error = Refused("no")
    waiting = [asyncio.ensure_future(remembered.get("a", work)) for _ in range(2)]
    await asyncio.sleep(0)
    work.may_end.set()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert [str(outcome) for outcome in outcomes] == ["no", "no"]
    with pytest.raises(Refused):
        await remembered.get("a", work)
    assert work.calls == 2


async def test_what_was_used_least_recently_is_forgotten():
    remembered, work = _Remembered(2), Work()
    work.may_end.set()
    for key in ("a", "b", "a", "c"):
        await remembered.get(key, work)
    assert work.calls == 3
    await remembered.get("a", work)
    assert work.calls == 3
    await remembered.get("b", work)
    assert work.calls == 4


def test_names_follow_from_the_content():
    assert content_hash("x") == content_hash("x") != content_hash("y")
    assert len(content_hash("")) == 64
