"""AccountService: logs users in and lists their projects."""

from google.protobuf.duration_pb2 import Duration

from tweezer.database.database import Database
from tweezer.identity import store
from tweezer.identity.passwords import MAX_PASSWORD_LENGTH, PasswordChecker
from tweezer.identity.tokens import TokenIssuer
from tweezer.rpc.context import Context
from tweezer.rpc.errors import InvalidInput, Unauthenticated
from tweezer.rpc.identity import current_caller
from tweezer.v1.account_service_pb2 import (
    IssueTokenRequest,
    IssueTokenResponse,
    ListProjectsRequest,
    ListProjectsResponse,
    Project,
)
from tweezer.v1.account_service_pb2_grpc import AccountServiceServicer
from tweezer.v1.batch_pb2 import QueuePriority


class AccountServicer(AccountServiceServicer):
    """Serves AccountService from the identity database."""

    def __init__(self, database: Database, passwords: PasswordChecker, tokens: TokenIssuer) -> None:
        self._database, self._passwords, self._tokens = database, passwords, tokens

    async def IssueToken(self, request: IssueTokenRequest, context: Context) -> IssueTokenResponse:
        """Exchanges a user name and a password for a token."""
        _require_text("username", request.username)
        _require_text("password", request.password)
        login = await self._database.read(lambda c: store.find_login(c, request.username))
        verdict = await self._passwords.check(
            None if login is None else login.password_hash, request.password
        )
        if login is None or not verdict.matches:
            raise Unauthenticated("wrong user name or password")
        user_id, new_hash = login.user_id, verdict.new_hash
        if new_hash is not None:
            await self._database.write(lambda c: store.replace_password_hash(c, user_id, new_hash))
        projects = await self._database.read(lambda c: store.projects_of(c, user_id))
        token = self._tokens.issue(
            user_id,
            store.canonical_username(request.username),
            [project.id for project in projects],
            operator=await self._database.read(lambda c: store.is_operator(c, user_id)),
        )
        return IssueTokenResponse(
            access_token=token, lifetime=Duration(seconds=self._tokens.lifetime_s)
        )

    async def ListProjects(
        self, request: ListProjectsRequest, context: Context
    ) -> ListProjectsResponse:
        """Lists the projects of the caller by name."""
        user_id = current_caller().user_id
        projects = await self._database.read(lambda c: store.projects_of(c, user_id))
        return ListProjectsResponse(
            projects=[
                Project(
                    id=project.id,
                    name=project.name,
                    queue_priority=QueuePriority.Value(f"QUEUE_PRIORITY_{project.queue_priority}"),
                )
                for project in projects
            ]
        )


def _require_text(field: str, text: str) -> None:
    if not 1 <= len(text) <= MAX_PASSWORD_LENGTH:
        raise InvalidInput(field, f"must have 1 to {MAX_PASSWORD_LENGTH} characters")
