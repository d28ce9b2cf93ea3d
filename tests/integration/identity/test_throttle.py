"""Guessing passwords, and calling too often."""

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from tweezer.identity.settings import IdentitySettings
from tweezer.identity.throttle import LoginThrottle
from tweezer.rpc.buckets import Buckets
from tweezer.rpc.errors import TooMuch
from tweezer.v1.account_service_pb2 import IssueTokenRequest, ListProjectsRequest

LIMITS = {"failed_logins_per_user": 3, "failed_login_pause_s": 30.0}
HERE, THERE = "192.0.2.1", "192.0.2.2"


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def throttle(tmp_path, clock):
    settings = IdentitySettings(
        data_dir=tmp_path, failed_logins_per_address=5, failed_login_address_pause_s=3.0, **LIMITS
    )
    return LoginThrottle(settings, clock)


def wait_of(throttle, name, address=None):
    try:
        throttle.admit(name, address)
    except TooMuch as refused:
        return refused.retry_after_s
    return 0


def test_a_name_rests_after_some_failures_and_then_gets_one_try_at_a_time(throttle, clock):
    for _ in range(3):
        assert wait_of(throttle, "ada") == 0
        throttle.failed("ada", None)
    assert wait_of(throttle, "ada") == pytest.approx(30)
    assert wait_of(throttle, "eve") == 0
    clock.now += 30
    assert wait_of(throttle, "ada") == 0
    throttle.failed("ada", None)
    assert wait_of(throttle, "ada") == pytest.approx(30)


def test_an_address_rests_whatever_the_names(throttle, clock):
    for number in range(5):
        throttle.failed(f"user{number}", HERE)
    assert wait_of(throttle, "somebody else", HERE) == pytest.approx(3)
    assert wait_of(throttle, "somebody else", THERE) == 0
    assert wait_of(throttle, "somebody else") == 0
    clock.now += 3
    assert wait_of(throttle, "somebody else", HERE) == 0


def test_failures_at_the_same_time_are_paid_for_later(throttle):
    for _ in range(13):
        throttle.failed("ada", None)
    assert wait_of(throttle, "ada") == pytest.approx(11 * 30)


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
