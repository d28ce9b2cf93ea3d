"""Password checks: right, wrong, nobody's, outdated, too many."""

import asyncio

import pytest
from argon2 import PasswordHasher, extract_parameters

from tweezer.identity.passwords import PasswordChecker, _hash_of_nobody, hash_password
from tweezer.rpc.errors import TooMuch


@pytest.fixture
def checker():
    checker = PasswordChecker(workers=1, max_waiting=2)
    yield checker
    checker.close()


async def test_the_right_password_matches_and_no_other(checker):
    stored = hash_password("correct horse")
    assert stored.startswith("$argon2id$")
    assert (await checker.check(stored, "correct horse")).matches
    assert not (await checker.check(stored, "correct horse ")).matches


async def test_nobody_has_a_password(checker):
    assert not (await checker.check(None, "")).matches


def test_nobody_costs_what_everybody_costs():
    hasher = PasswordHasher()
    nobody, somebody = _hash_of_nobody(hasher), hasher.hash("x")
    assert extract_parameters(nobody) == extract_parameters(somebody)
    assert len(nobody) == len(somebody)


async def test_a_hash_of_weaker_parameters_is_replaced(checker):
    weak = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("secret")
    verdict = await checker.check(weak, "secret")
    assert verdict.matches
    assert (await checker.check(verdict.new_hash, "secret")).matches
    assert (await checker.check(weak, "wrong")).new_hash is None
    assert (await checker.check(hash_password("secret"), "secret")).new_hash is None


async def test_a_flood_is_turned_away(checker):
    outcomes = await asyncio.gather(
        *(checker.check(None, "guess") for _ in range(5)), return_exceptions=True
    )
    assert [isinstance(outcome, TooMuch) for outcome in outcomes] == [False] * 3 + [True] * 2
    assert not (await checker.check(None, "guess")).matches
