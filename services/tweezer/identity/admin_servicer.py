"""IdentityAdminService: operators say who may come in."""

import asyncio
from typing import Final

from tweezer.database.database import Database
from tweezer.database.timestamps import Clock, now_micros
from tweezer.identity import administration, store
from tweezer.identity.conversion import project_message, user_message
from tweezer.identity.models import QueuePriority, Role
from tweezer.identity.passwords import MAX_PASSWORD_LENGTH, hash_password
from tweezer.identity.settings import IdentitySettings
from tweezer.identity.store import ProjectRow
from tweezer.identity.tokens import TokenIssuer
from tweezer.rpc.context import Context
from tweezer.rpc.errors import InvalidInput
from tweezer.v1 import batch_pb2
from tweezer.v1 import identity_admin_service_pb2 as pb
from tweezer.v1.identity_admin_service_pb2_grpc import IdentityAdminServiceServicer

_LEAST_PASSWORD: Final = 8
_LONGEST_NAME: Final = 255


class IdentityAdminServicer(IdentityAdminServiceServicer):
    """Serves IdentityAdminService from the identity database."""

    def __init__(
        self,
        database: Database,
        tokens: TokenIssuer,
        settings: IdentitySettings,
        clock: Clock = now_micros,
    ) -> None:
        self._database, self._tokens, self._clock = database, tokens, clock
        # Where operators come from the provider, none is needed here.
        self._may_be_last = settings.oidc_operator_claim is not None
        self._rotating = asyncio.Lock()

    async def AddUser(self, request: pb.AddUserRequest, context: Context) -> pb.AddUserResponse:
        """Adds a user with a password, or one whom an OIDC provider knows."""
        _require_name("username", request.username)
        user_id: str | None = None
        if request.WhichOneof("credential") == "external_id":
            _require_name("external_id", request.external_id)
            user_id, password_hash = request.external_id, store.NO_PASSWORD
        else:
            password_hash = await _hashed(request.password)
        now = self._clock()
        added = await self._database.write(
            lambda c: store.add_user(c, request.username, password_hash, now, user_id)
        )
        users = await self._database.read(administration.list_users)
        return pb.AddUserResponse(user=next(user_message(u) for u in users if u.id == added))

    async def ListUsers(
        self, request: pb.ListUsersRequest, context: Context
    ) -> pb.ListUsersResponse:
        """Lists all users."""
        users = await self._database.read(administration.list_users)
        return pb.ListUsersResponse(users=[user_message(user) for user in users])

    async def RemoveUser(
        self, request: pb.RemoveUserRequest, context: Context
    ) -> pb.RemoveUserResponse:
        """Removes a user; not the last operator."""
        await self._database.write(
            lambda c: administration.remove_user(c, request.username, may_be_last=self._may_be_last)
        )
        return pb.RemoveUserResponse()

    async def SetPassword(
        self, request: pb.SetPasswordRequest, context: Context
    ) -> pb.SetPasswordResponse:
        """Replaces a user's password."""
        password_hash = await _hashed(request.password)
        await self._database.write(
            lambda c: administration.set_password(c, request.username, password_hash)
        )
        return pb.SetPasswordResponse()

    async def AddProject(
        self, request: pb.AddProjectRequest, context: Context
    ) -> pb.AddProjectResponse:
        """Adds a project."""
        _require_name("name", request.name)
        if request.project_id:
            _require_name("project_id", request.project_id)
        priority = _priority(request.queue_priority or batch_pb2.QUEUE_PRIORITY_MEDIUM)
        now = self._clock()
        project_id = await self._database.write(
            lambda c: store.add_project(c, request.name, now, priority, request.project_id or None)
        )
        return pb.AddProjectResponse(
            project=project_message(ProjectRow(project_id, request.name, priority.value))
        )

    async def ListAllProjects(
        self, request: pb.ListAllProjectsRequest, context: Context
    ) -> pb.ListAllProjectsResponse:
        """Lists all projects."""
        projects = await self._database.read(administration.list_projects)
        return pb.ListAllProjectsResponse(projects=[project_message(p) for p in projects])

    async def SetProjectPriority(
        self, request: pb.SetProjectPriorityRequest, context: Context
    ) -> pb.SetProjectPriorityResponse:
        """Puts the later batches of a project into another queue."""
        priority = _priority(request.queue_priority)
        project = await self._database.write(
            lambda c: administration.set_priority(c, request.project_id, priority)
        )
        return pb.SetProjectPriorityResponse(project=project_message(project))

    async def AddMember(
        self, request: pb.AddMemberRequest, context: Context
    ) -> pb.AddMemberResponse:
        """Makes a user a member of a project, or changes the role."""
        operator = request.role == pb.ROLE_OPERATOR
        now = self._clock()
        await self._database.write(
            lambda c: administration.set_member(
                c,
                request.project_id,
                request.username,
                Role.OPERATOR if operator else Role.MEMBER,
                now,
                may_be_last=self._may_be_last,
            )
        )
        return pb.AddMemberResponse()

    async def RemoveMember(
        self, request: pb.RemoveMemberRequest, context: Context
    ) -> pb.RemoveMemberResponse:
        """Ends a membership; not that of the last operator."""
        await self._database.write(
            lambda c: administration.remove_member(
                c, request.project_id, request.username, may_be_last=self._may_be_last
            )
        )
        return pb.RemoveMemberResponse()

    async def RotateSigningKey(
        self, request: pb.RotateSigningKeyRequest, context: Context
    ) -> pb.RotateSigningKeyResponse:
        """Signs with a new key from now on."""
        async with self._rotating:
            key_id = self._tokens.rotate(revoke_tokens=request.revoke_tokens)
        return pb.RotateSigningKeyResponse(key_id=key_id)


async def _hashed(password: str) -> str:
    if not _LEAST_PASSWORD <= len(password) <= MAX_PASSWORD_LENGTH:
        raise InvalidInput(
            "password", f"must have {_LEAST_PASSWORD} to {MAX_PASSWORD_LENGTH} characters"
        )
    return await asyncio.to_thread(hash_password, password)


def _require_name(field: str, text: str) -> None:
    if not 1 <= len(text.strip()) <= _LONGEST_NAME or not text.isprintable():
        raise InvalidInput(field, f"must have 1 to {_LONGEST_NAME} printable characters")


def _priority(value: int) -> QueuePriority:
    try:
        name = batch_pb2.QueuePriority.Name(value).removeprefix("QUEUE_PRIORITY_")  # type: ignore[arg-type]
        return QueuePriority(name)
    except ValueError:
        raise InvalidInput("queue_priority", "is not a queue") from None
