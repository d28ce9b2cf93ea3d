"""AccountService: logs users in and lists their projects."""

import hashlib

from google.protobuf.duration_pb2 import Duration

from tweezer.database.database import Database
from tweezer.identity import store
from tweezer.identity.conversion import project_message
from tweezer.identity.origin import origin_of
from tweezer.identity.passwords import MAX_PASSWORD_LENGTH, PasswordChecker
from tweezer.identity.settings import IdentitySettings
from tweezer.identity.store import Login
from tweezer.identity.throttle import LoginThrottle
from tweezer.identity.tokens import TokenIssuer
from tweezer.process.audit_log import record
from tweezer.rpc.context import Context
from tweezer.rpc.errors import DomainError, InvalidInput, NotAllowedNow, Unauthenticated
from tweezer.rpc.identity import current_caller
from tweezer.v1.account_service_pb2 import (
    IssueTokenRequest,
    IssueTokenResponse,
    ListProjectsRequest,
    ListProjectsResponse,
)
from tweezer.v1.account_service_pb2_grpc import AccountServiceServicer


class AccountServicer(AccountServiceServicer):
    """Serves AccountService from the identity database."""

    def __init__(
        self,
        database: Database,
        passwords: PasswordChecker,
        tokens: TokenIssuer,
        settings: IdentitySettings,
        throttle: LoginThrottle | None = None,
    ) -> None:
        self._database, self._passwords, self._tokens = database, passwords, tokens
        self._settings = settings
        self._throttle = throttle or LoginThrottle(settings, database)

    async def IssueToken(self, request: IssueTokenRequest, context: Context) -> IssueTokenResponse:
        """Exchanges a user name and a password for a token."""
        if not self._settings.builtin_logins:
            raise NotAllowedNow(f"tokens come from {self._settings.oidc_issuer}")
        _require_text("username", request.username)
        _require_text("password", request.password)
        username = store.canonical_username(request.username)
        address = origin_of(context, self._settings.trusted_gateways)
        login = await self._database.read(lambda c: store.find_login(c, username))
        try:
            found = await self._check(username, address, login, request.password)
        except DomainError as error:
            record("login", outcome=type(error).__name__, address=address, **_who(username, login))
            raise
        token = await self._token(found, username)
        record("login", outcome="OK", address=address, **_who(username, found))
        return IssueTokenResponse(
            access_token=token, lifetime=Duration(seconds=self._tokens.lifetime_s)
        )

    async def _check(
        self, username: str, address: str | None, login: Login | None, password: str
    ) -> Login:
        await self._throttle.admit(username, address)
        verdict = await self._passwords.check(
            None if login is None else login.password_hash, password
        )
        if login is None or not verdict.matches:
            await self._throttle.failed(username, address)
            raise Unauthenticated("wrong user name or password")
        new_hash = verdict.new_hash
        if new_hash is not None:
            await self._database.write(lambda c: store.replace_password_hash(c, login, new_hash))
        return login

    async def _token(self, login: Login, username: str) -> str:
        user_id = login.user_id
        projects = await self._database.read(lambda c: store.projects_of(c, user_id))
        return self._tokens.issue(
            user_id,
            username,
            [project.id for project in projects],
            operator=await self._database.read(lambda c: store.is_operator(c, user_id)),
        )

    async def ListProjects(
        self, request: ListProjectsRequest, context: Context
    ) -> ListProjectsResponse:
        """Lists the projects of the caller by name."""
        project_ids = current_caller().project_ids
        projects = await self._database.read(lambda c: store.projects_named(c, project_ids))
        return ListProjectsResponse(projects=[project_message(project) for project in projects])


def _who(username: str, login: Login | None) -> dict[str, str]:
    """Returns how the log calls a user.

    A name that nobody has may be a password in the wrong field.
    """
    if login is None:
        return {"unknown_username_sha256": hashlib.sha256(username.encode()).hexdigest()[:12]}
    return {"username": username, "user_id": login.user_id}


def _require_text(field: str, text: str) -> None:
    if not 1 <= len(text) <= MAX_PASSWORD_LENGTH:
        raise InvalidInput(field, f"must have 1 to {MAX_PASSWORD_LENGTH} characters")
