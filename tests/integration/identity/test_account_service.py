"""Logging in and listing projects, through a real server."""

import asyncio

import grpc
import pytest
from argon2 import PasswordHasher

from tweezer.database.opening import open_database
from tweezer.identity import bootstrap, store
from tweezer.identity.models import Role
from tweezer.identity.passwords import PasswordChecker, hash_password
from tweezer.identity.servicer import AccountServicer
from tweezer.identity.settings import IdentitySettings
from tweezer.identity.tokens import TokenIssuer
from tweezer.rpc.issuers import BuiltinIssuer
from tweezer.rpc.server import build_server, start_server
from tweezer.rpc.verifier import TokenVerifier
from tweezer.v1.account_service_pb2 import IssueTokenRequest, ListProjectsRequest
from tweezer.v1.account_service_pb2_grpc import (
    AccountServiceStub,
    add_AccountServiceServicer_to_server,
)
from tweezer.v1.batch_pb2 import QueuePriority


@pytest.fixture
def settings(tmp_path, backend, new_database):
    if backend == "sqlite":
        return IdentitySettings(data_dir=tmp_path)
    url = new_database(tmp_path / "identity.db", bootstrap.MIGRATIONS)
    return IdentitySettings(
        data_dir=tmp_path, identity_database_url=url.render_as_string(hide_password=False)
    )


@pytest.fixture
def first(settings):
    return bootstrap.bootstrap(settings)


@pytest.fixture
async def database(settings, first):
    database = open_database(settings.identity_database, 4)
    yield database
    await database.close()


@pytest.fixture
async def accounts(settings, database):
    passwords = PasswordChecker(workers=2, max_waiting=4)
    tokens = TokenIssuer(bootstrap.prepare(settings), settings)
    server = build_server(settings)
    add_AccountServiceServicer_to_server(
        AccountServicer(database, passwords, tokens, settings), server
    )
    port = await start_server(server, "127.0.0.1:0", ["tweezer.v1.AccountService"])
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield AccountServiceStub(channel)
    await server.stop(0)
    passwords.close()


@pytest.fixture
def log_in(accounts):
    async def call(username, password):
        return await accounts.IssueToken(IssueTokenRequest(username=username, password=password))

    return call


async def projects_of(accounts, token):
    response = await accounts.ListProjects(
        ListProjectsRequest(), metadata=(("authorization", f"Bearer {token}"),)
    )
    return list(response.projects)


async def failure(call):
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call
    return failed.value.code(), failed.value.details()


async def test_a_token_that_the_services_accept(settings, first, log_in):
    response = await log_in(first.username, first.password)
    caller = await TokenVerifier([BuiltinIssuer(settings)]).verify(response.access_token)
    assert caller.user_id == first.user_id
    assert caller.project_ids == {first.project_id}
    assert response.lifetime.ToSeconds() == settings.token_lifetime_s


async def test_the_case_of_the_name_does_not_matter(first, log_in):
    assert (await log_in(first.username.upper(), first.password)).access_token


async def test_wrong_password_and_unknown_user_look_alike(first, log_in):
    expected = (grpc.StatusCode.UNAUTHENTICATED, "wrong user name or password")
    assert await failure(log_in(first.username, "wrong")) == expected
    assert await failure(log_in("nobody", first.password)) == expected


@pytest.mark.parametrize("field", ["username", "password"])
@pytest.mark.parametrize("value", ["", "x" * 1025])
async def test_empty_and_endless_texts_are_refused(first, log_in, field, value):
    given = {"username": first.username, "password": first.password, field: value}
    assert await failure(log_in(**given)) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        f"{field}: must have 1 to 1024 characters",
    )


async def test_a_flood_of_guesses_is_turned_away(first, log_in):
    outcomes = await asyncio.gather(
        *(log_in("nobody", "guess") for _ in range(20)), return_exceptions=True
    )
    codes = [outcome.code() for outcome in outcomes]
    assert set(codes) == {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert (await log_in(first.username, first.password)).access_token


async def test_new_users_and_projects_need_no_restart(accounts, database, log_in):
    password_hash = hash_password("ada's")

    def add(connection):
        user_id = store.add_user(connection, "ada", password_hash, 0)
        for name in ("zeta", "alpha"):
            project_id = store.add_project(connection, name, 0)
            store.add_member(connection, project_id, user_id, 0)

    await database.write(add)
    token = (await log_in("ada", "ada's")).access_token
    projects = await projects_of(accounts, token)
    assert [project.name for project in projects] == ["alpha", "zeta"]
    assert {p.queue_priority for p in projects} == {QueuePriority.QUEUE_PRIORITY_MEDIUM}


async def test_everybody_sees_their_own_projects(accounts, database, first, log_in):
    token = (await log_in(first.username, first.password)).access_token
    (project,) = await projects_of(accounts, token)
    assert (project.id, project.name) == (first.project_id, "default")
    password_hash = hash_password("x")
    await database.write(lambda c: store.add_user(c, "loner", password_hash, 0))
    loner = (await log_in("loner", "x")).access_token
    assert await projects_of(accounts, loner) == []


async def test_an_operator_of_any_project_is_named_in_the_token(settings, database, log_in, first):
    password_hash = hash_password("x")

    def add(connection):
        for name, role in (("boss", Role.OPERATOR), ("member", Role.MEMBER)):
            user_id = store.add_user(connection, name, password_hash, 0)
            for number, in_project in enumerate((Role.MEMBER, role)):
                project_id = store.add_project(connection, f"p{number}", 0)
                store.add_member(connection, project_id, user_id, 0, in_project)

    await database.write(add)
    verifier = TokenVerifier([BuiltinIssuer(settings)])

    async def is_operator(username, password):
        token = (await log_in(username, password)).access_token
        return (await verifier.verify(token)).operator

    assert await is_operator("boss", "x")
    assert not await is_operator("member", "x")
    assert await is_operator(first.username, first.password)


async def test_projects_need_a_token(accounts):
    code, _ = await failure(accounts.ListProjects(ListProjectsRequest()))
    assert code == grpc.StatusCode.UNAUTHENTICATED


async def test_an_outdated_hash_is_replaced_at_log_in(database, log_in, first):
    weak = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("secret")
    await database.write(lambda c: store.add_user(c, "old", weak, 0))
    await log_in("old", "secret")
    login = await database.read(lambda c: store.find_login(c, "old"))
    assert login.password_hash != weak
    assert (await log_in("old", "secret")).access_token
