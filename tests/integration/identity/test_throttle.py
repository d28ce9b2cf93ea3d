"""Guessing passwords, and calling too often."""

import asyncio

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from sqlalchemy import select

from tweezer.database.migrations import upgrade_database
from tweezer.database.opening import open_database
from tweezer.identity.bootstrap import MIGRATIONS
from tweezer.identity.models import FAILED_LOGIN
from tweezer.identity.settings import IdentitySettings
from tweezer.identity.throttle import LoginThrottle
from tweezer.rpc.buckets import Buckets
from tweezer.rpc.errors import TooMuch
from tweezer.v1.account_service_pb2 import IssueTokenRequest, ListProjectsRequest

LIMITS = {"failed_logins_per_user": 3, "failed_login_pause_s": 30.0}
HERE, THERE = "192.0.2.1", "192.0.2.2"


class Clock:
    now = 1000.0

    def __call__(self) -> int:
        return round(self.now * 1_000_000)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def identity(tmp_path, new_database):
    url = new_database(tmp_path / "identity.db", MIGRATIONS)
    upgrade_database(url, MIGRATIONS)
    database = open_database(url, 4)
    yield database
    await database.close()


@pytest.fixture
def new_throttle(tmp_path, identity, clock):
    settings = IdentitySettings(
        data_dir=tmp_path, failed_logins_per_address=5, failed_login_address_pause_s=3.0, **LIMITS
    )
    return lambda: LoginThrottle(settings, identity, clock)


@pytest.fixture
def throttle(new_throttle):
    return new_throttle()


async def wait_of(throttle, name, address=None):
    try:
        await throttle.admit(name, address)
    except TooMuch as refused:
        return refused.retry_after_s
    return 0


async def test_a_name_rests_after_some_failures_and_then_gets_one_try_at_a_time(throttle, clock):
    for _ in range(3):
        assert await wait_of(throttle, "ada") == 0
        await throttle.failed("ada", None)
    assert await wait_of(throttle, "ada") == pytest.approx(30)
    assert await wait_of(throttle, "eve") == 0
    clock.now += 30
    assert await wait_of(throttle, "ada") == 0
    await throttle.failed("ada", None)
    assert await wait_of(throttle, "ada") == pytest.approx(30)


async def test_an_address_rests_whatever_the_names(throttle, clock):
    for number in range(5):
        await throttle.failed(f"user{number}", HERE)
    assert await wait_of(throttle, "somebody else", HERE) == pytest.approx(3)
    assert await wait_of(throttle, "somebody else", THERE) == 0
    assert await wait_of(throttle, "somebody else") == 0
    clock.now += 3
    assert await wait_of(throttle, "somebody else", HERE) == 0


async def test_failures_at_the_same_time_are_paid_for_later(throttle):
    await asyncio.gather(*(throttle.failed("ada", HERE) for _ in range(13)))
    assert await wait_of(throttle, "ada") == pytest.approx(11 * 30)


async def test_replicas_count_together_and_a_restart_forgets_nothing(new_throttle):
    for throttle in (new_throttle(), new_throttle(), new_throttle()):
        assert await wait_of(throttle, "ada") == 0
        await throttle.failed("ada", HERE)
    assert await wait_of(new_throttle(), "ada") == pytest.approx(30)


async def test_what_is_over_is_deleted_and_names_are_not_stored(throttle, identity, clock):
    def rows(connection):
        return connection.execute(select(FAILED_LOGIN.c.key)).scalars().all()

    for number in range(30):
        await throttle.failed(f"my password {number}", HERE)
    stored = await identity.read(rows)
    assert len(stored) == 31
    assert all(set(key) <= set("0123456789abcdef") for key in stored)
    clock.now += 10_000
    for _ in range(2):
        await throttle.failed("ada", None)
    assert len(await identity.read(rows)) == 1


def test_what_is_remembered_is_bounded(clock):
    buckets = Buckets(1.0, 1.0, clock, most_keys=3)
    for key in "abcd":
        buckets.take(key)
    assert [key for key in "abcd" if buckets.wait(key) > 0] == ["b", "c", "d"]


async def refusal(call):
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call
    error = failed.value
    status = rpc_status.from_call(error)
    waits = []
    for detail in status.details if status is not None else ():
        retry = error_details_pb2.RetryInfo()
        if detail.Unpack(retry):
            waits.append(retry.retry_delay.ToTimedelta().total_seconds())
    return error.code(), error.details(), waits


async def test_names_that_exist_and_names_that_do_not_are_treated_alike(open_house):
    async with open_house(**LIMITS) as house:

        async def guesses(name):
            seen = []
            for _ in range(5):
                request = IssueTokenRequest(username=name, password="guess")
                code, text, waits = await refusal(house.accounts.IssueToken(request))
                seen.append((code, text, len(waits)))
                assert all(0 < wait <= 30 for wait in waits)
            return seen

        of_a_user = await guesses(house.first.username)
        assert of_a_user == await guesses("nobody")
        assert [code for code, _, _ in of_a_user] == [grpc.StatusCode.UNAUTHENTICATED] * 3 + [
            grpc.StatusCode.RESOURCE_EXHAUSTED
        ] * 2
        # Not even the right password is looked at then.
        request = IssueTokenRequest(
            username=house.first.username.upper(), password=house.first.password
        )
        code, _, _ = await refusal(house.accounts.IssueToken(request))
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_gateway_says_whom_it_calls_for_and_nobody_else_is_believed(open_house):
    limits = {"failed_logins_per_address": 2, "failed_login_address_pause_s": 1000.0}

    async def guess(house, number, address):
        call = house.accounts.IssueToken(
            IssueTokenRequest(username=f"u{number}", password="guess"),
            metadata=(("x-tweezer-client-address", address),),
        )
        return (await refusal(call))[0]

    async def codes(house, addresses):
        return [await guess(house, number, a) for number, a in enumerate(addresses)]

    wrong, much = grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.RESOURCE_EXHAUSTED
    async with open_house(**limits) as house:
        assert await codes(house, [HERE, HERE, HERE, THERE]) == [wrong, wrong, much, wrong]
    async with open_house(trusted_gateways=[], **limits) as house:
        assert await codes(house, [HERE, THERE, "192.0.2.3"]) == [wrong, wrong, much]


async def test_a_user_cannot_call_without_end_and_others_do_not_notice(open_house):
    async with open_house(user_calls_per_s=0.001, user_calls_burst=3) as house:
        first = await house.log_in()

        async def list_projects(metadata):
            return await house.accounts.ListProjects(ListProjectsRequest(), metadata=metadata)

        from tweezer.v1.identity_admin_service_pb2 import AddUserRequest

        await house.admin.AddUser(
            AddUserRequest(username="ada", password="ada's word"), metadata=first
        )
        for _ in range(2):
            await list_projects(first)
        # Another token is still the same user.
        for metadata in (first, await house.log_in()):
            code, text, waits = await refusal(list_projects(metadata))
            assert (code, text) == (
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                "too many calls; try again in a moment",
            )
            assert waits
        await list_projects(await house.log_in("ada", "ada's word"))
