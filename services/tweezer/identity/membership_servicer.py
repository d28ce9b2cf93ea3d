"""MembershipService: where users of an OIDC provider belong, and the same for this process."""

from tweezer.database.database import Database
from tweezer.identity.administration import external_memberships
from tweezer.internal.v1.membership_service_pb2 import (
    ResolveMembershipsRequest,
    ResolveMembershipsResponse,
)
from tweezer.internal.v1.membership_service_pb2_grpc import MembershipServiceServicer
from tweezer.rpc.context import Context
from tweezer.rpc.memberships import Known


class StoredMemberships:
    """Reads the identity database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of_user(self, user_id: str) -> Known:
        """Returns what a user of an OIDC provider may do."""
        return await self._database.read(lambda c: external_memberships(c, user_id))


class MembershipServicer(MembershipServiceServicer):
    """Tells the other services."""

    def __init__(self, memberships: StoredMemberships) -> None:
        self._memberships = memberships

    async def ResolveMemberships(
        self, request: ResolveMembershipsRequest, context: Context
    ) -> ResolveMembershipsResponse:
        """Returns what a user may do."""
        known = await self._memberships.of_user(request.user_id)
        return ResolveMembershipsResponse(
            project_ids=sorted(known.project_ids), operator=known.operator
        )
