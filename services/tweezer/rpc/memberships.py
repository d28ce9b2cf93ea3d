"""Where users belong whose tokens do not say so."""

from dataclasses import dataclass
from typing import Protocol

from tweezer.internal.v1.membership_service_pb2 import ResolveMembershipsRequest
from tweezer.internal.v1.membership_service_pb2_grpc import MembershipServiceStub
from tweezer.rpc.channel import open_service_channel
from tweezer.rpc.settings import RpcSettings


@dataclass(frozen=True, slots=True)
class Known:
    """What is known about a user."""

    project_ids: frozenset[str]
    operator: bool


class Memberships(Protocol):
    """Knows where users belong."""

    async def of_user(self, user_id: str) -> Known:
        """Returns what a user may do; nothing for one who is not known."""


class AskedMemberships:
    """Asks the process that hosts the built-in issuer."""

    def __init__(self, settings: RpcSettings) -> None:
        self._settings = settings

    async def of_user(self, user_id: str) -> Known:
        """Returns what that process knows."""
        # Asked for once in a while for each user: a channel of its own costs less than one that
        # somebody must remember to close.
        async with open_service_channel(self._settings, self._settings.batch_internal) as channel:
            answer = await MembershipServiceStub(channel).ResolveMemberships(
                ResolveMembershipsRequest(user_id=user_id)
            )
        return Known(frozenset(answer.project_ids), answer.operator)
