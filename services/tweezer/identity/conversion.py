"""Rows of the identity database as messages."""

from tweezer.database.timestamps import to_timestamp
from tweezer.identity.administration import UserRow
from tweezer.identity.store import ProjectRow
from tweezer.v1.account_service_pb2 import Project
from tweezer.v1.batch_pb2 import QueuePriority
from tweezer.v1.identity_admin_service_pb2 import Membership, Role, User


def project_message(row: ProjectRow) -> Project:
    """Returns a project as a message."""
    return Project(
        id=row.id,
        name=row.name,
        queue_priority=QueuePriority.Value(f"QUEUE_PRIORITY_{row.queue_priority}"),
    )


def user_message(row: UserRow) -> User:
    """Returns a user as a message."""
    return User(
        id=row.id,
        username=row.username,
        external=row.external,
        create_time=to_timestamp(row.created_at),
        memberships=[
            Membership(
                project_id=membership.project_id,
                project_name=membership.project_name,
                role=Role.Value(f"ROLE_{membership.role.name}"),
            )
            for membership in row.memberships
        ],
    )
