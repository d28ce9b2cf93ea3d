"""The identity services on a real server, and ways to call them."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from sqlalchemy import URL

from tweezer.database.opening import open_database
from tweezer.identity import bootstrap
from tweezer.identity.bootstrap import FirstLogin
from tweezer.identity.hosting import SERVICE_NAMES, add_identity_services
from tweezer.identity.membership_servicer import StoredMemberships
from tweezer.identity.passwords import PasswordChecker
from tweezer.identity.settings import IdentitySettings
from tweezer.internal.v1.membership_service_pb2_grpc import MembershipServiceStub
from tweezer.rpc.channel import open_service_channel
from tweezer.rpc.server import build_server, start_server
from tweezer.v1.account_service_pb2 import IssueTokenRequest
from tweezer.v1.account_service_pb2_grpc import AccountServiceStub
from tweezer.v1.identity_admin_service_pb2_grpc import IdentityAdminServiceStub

Metadata = tuple[tuple[str, str], ...]


class House:
    """A running server with the identity services and its first user."""

    def __init__(self, settings: IdentitySettings, first: FirstLogin) -> None:
        self.settings, self.first = settings, first
        self.accounts: AccountServiceStub
        self.admin: IdentityAdminServiceStub
        self.memberships: MembershipServiceStub
        self.address = ""

    async def token(self, username: str, password: str) -> str:
        request = IssueTokenRequest(username=username, password=password)
        return (await self.accounts.IssueToken(request)).access_token

    async def log_in(self, username: str = "", password: str = "") -> Metadata:
        """Returns the credential of a user, of the first one by default."""
        token = await self.token(username or self.first.username, password or self.first.password)
        return (("authorization", f"Bearer {token}"),)


@pytest.fixture
def identity_database(
    tmp_path: Path, backend: str, new_database: Callable[[Path, Path], URL]
) -> dict[str, Any]:
    """The settings that name the database of the test, where it is not the file of the default."""
    if backend == "sqlite":
        return {}
    url = new_database(tmp_path / "identity.db", bootstrap.MIGRATIONS)
    return {"identity_database_url": url.render_as_string(hide_password=False)}


@pytest.fixture
def open_house(tmp_path: Path, identity_database: dict[str, Any]) -> Callable[..., Any]:
    @asynccontextmanager
    async def run(**changed: Any) -> AsyncIterator[House]:
        settings = IdentitySettings(data_dir=tmp_path, **identity_database, **changed)
        first = bootstrap.bootstrap(settings)
        assert first is not None
        house = House(settings, first)
        database = open_database(settings.identity_database, 4)
        passwords = PasswordChecker(workers=2, max_waiting=64)
        server = build_server(settings, memberships=StoredMemberships(database))
        add_identity_services(server, settings, database, passwords)
        port = await start_server(server, "127.0.0.1:0", SERVICE_NAMES)
        house.address = f"127.0.0.1:{port}"
        async with (
            grpc.aio.insecure_channel(house.address) as channel,
            open_service_channel(settings, house.address) as internal,
        ):
            house.accounts = AccountServiceStub(channel)
            house.admin = IdentityAdminServiceStub(channel)
            house.memberships = MembershipServiceStub(internal)
            yield house
        await server.stop(None)
        passwords.close()
        await database.close()

    return run


@pytest.fixture
async def house(open_house: Callable[..., Any]) -> AsyncIterator[House]:
    async with open_house() as house:
        yield house


@pytest.fixture
def fails_with() -> Callable[..., Any]:
    """Returns the status and the text that a call fails with."""

    async def failure(call: Any) -> tuple[grpc.StatusCode, str | None]:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await call
        return failed.value.code(), failed.value.details()

    return failure
