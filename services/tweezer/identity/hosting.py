"""How a process of ours serves accounts."""

from typing import Final

import grpc

from tweezer.database.database import Database
from tweezer.identity.admin_servicer import IdentityAdminServicer
from tweezer.identity.bootstrap import bootstrap, prepare
from tweezer.identity.membership_servicer import MembershipServicer, StoredMemberships
from tweezer.identity.passwords import PasswordChecker
from tweezer.identity.servicer import AccountServicer
from tweezer.identity.settings import IdentitySettings
from tweezer.identity.tokens import TokenIssuer
from tweezer.internal.v1.membership_service_pb2_grpc import (
    add_MembershipServiceServicer_to_server,
)
from tweezer.v1.account_service_pb2_grpc import add_AccountServiceServicer_to_server
from tweezer.v1.identity_admin_service_pb2_grpc import (
    add_IdentityAdminServiceServicer_to_server,
)

SERVICE_NAMES: Final = (
    "tweezer.v1.AccountService",
    "tweezer.v1.IdentityAdminService",
    "tweezer.internal.v1.MembershipService",
)


def add_identity_services(
    server: grpc.aio.Server,
    settings: IdentitySettings,
    database: Database,
    passwords: PasswordChecker,
) -> None:
    """Adds the services that the identity database answers."""
    if settings.first_user:
        bootstrap(settings)
    tokens = TokenIssuer(prepare(settings), settings)
    add_AccountServiceServicer_to_server(
        AccountServicer(database, passwords, tokens, settings), server
    )
    add_IdentityAdminServiceServicer_to_server(
        IdentityAdminServicer(database, tokens, settings), server
    )
    add_MembershipServiceServicer_to_server(MembershipServicer(StoredMemberships(database)), server)
