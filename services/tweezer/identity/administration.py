"""Statements of those who say who may come in."""

from typing import Final, NamedTuple

from sqlalchemy import Connection, delete, func, select, update

from tweezer.database.locks import lock_name
from tweezer.identity.models import MEMBERSHIP, PROJECT, USER, QueuePriority, Role
from tweezer.identity.store import NO_PASSWORD, ProjectRow, add_member, canonical_username
from tweezer.rpc.errors import NotAllowedNow, NotFound
from tweezer.rpc.memberships import Known

#: Of the locks in this database: whoever changes memberships.
MEMBERSHIPS: Final = 1


class MembershipRow(NamedTuple):
    """A project of a user."""

    user_id: str
    project_id: str
    project_name: str
    role: Role


class UserRow(NamedTuple):
    """A user as operators see one."""

    id: str
    username: str
    external: bool
    created_at: int
    memberships: list[MembershipRow]


def list_users(connection: Connection) -> list[UserRow]:
    """Returns all users by name, with their memberships by name of the project."""
    belong: dict[str, list[MembershipRow]] = {}
    for row in connection.execute(
        select(MEMBERSHIP.c.user_id, PROJECT.c.id, PROJECT.c.name, MEMBERSHIP.c.role)
        .join(PROJECT, PROJECT.c.id == MEMBERSHIP.c.project_id)
        .order_by(PROJECT.c.name, PROJECT.c.seq)
    ):
        belong.setdefault(row[0], []).append(MembershipRow(*row[:3], Role(row[3])))
    users = connection.execute(
        select(USER.c.id, USER.c.username, USER.c.password_hash, USER.c.created_at).order_by(
            USER.c.username
        )
    )
    return [
        UserRow(
            user_id, username, password_hash == NO_PASSWORD, created_at, belong.get(user_id, [])
        )
        for user_id, username, password_hash, created_at in users
    ]


def user_id_of(connection: Connection, username: str) -> str:
    """Returns the identifier of a user; NotFound for an unknown name."""
    found: str | None = connection.execute(
        select(USER.c.id).where(USER.c.username == canonical_username(username))
    ).scalar_one_or_none()
    if found is None:
        raise NotFound("there is no such user")
    return found


def remove_user(connection: Connection, username: str, *, may_be_last: bool) -> None:
    """Removes a user and the user's memberships."""
    _one_at_a_time(connection)
    user_id = user_id_of(connection, username)
    connection.execute(delete(MEMBERSHIP).where(MEMBERSHIP.c.user_id == user_id))
    connection.execute(delete(USER).where(USER.c.id == user_id))
    _keep_an_operator(connection, may_be_last)


def set_password(connection: Connection, username: str, password_hash: str) -> None:
    """Stores the hash of a user's new password."""
    user_id = user_id_of(connection, username)
    changed = connection.execute(
        update(USER)
        .where(USER.c.id == user_id, USER.c.password_hash != NO_PASSWORD)
        .values(password_hash=password_hash)
    )
    if changed.rowcount == 0:
        raise NotAllowedNow("the user logs in with the OIDC provider")


def list_projects(connection: Connection) -> list[ProjectRow]:
    """Returns all projects by name."""
    rows = connection.execute(
        select(PROJECT.c.id, PROJECT.c.name, PROJECT.c.queue_priority).order_by(
            PROJECT.c.name, PROJECT.c.seq
        )
    )
    return [ProjectRow(*row) for row in rows]


def set_priority(connection: Connection, project_id: str, priority: QueuePriority) -> ProjectRow:
    """Puts a project's later batches into another queue."""
    changed = connection.execute(
        update(PROJECT).where(PROJECT.c.id == project_id).values(queue_priority=priority.value)
    )
    if changed.rowcount == 0:
        raise NotFound("there is no such project")
    row = connection.execute(
        select(PROJECT.c.id, PROJECT.c.name, PROJECT.c.queue_priority).where(
            PROJECT.c.id == project_id
        )
    ).one()
    return ProjectRow(*row)


def set_member(
    connection: Connection,
    project_id: str,
    username: str,
    role: Role,
    now: int,
    *,
    may_be_last: bool,
) -> None:
    """Makes a user a member of a project, or changes the role that the user has there."""
    _one_at_a_time(connection)
    add_member(connection, project_id, user_id_of(connection, username), now, role)
    _keep_an_operator(connection, may_be_last)


def remove_member(
    connection: Connection, project_id: str, username: str, *, may_be_last: bool
) -> None:
    """Ends a membership."""
    _one_at_a_time(connection)
    gone = connection.execute(
        delete(MEMBERSHIP).where(
            MEMBERSHIP.c.project_id == project_id,
            MEMBERSHIP.c.user_id == user_id_of(connection, username),
        )
    )
    if gone.rowcount == 0:
        raise NotFound("the user is not a member of such a project")
    _keep_an_operator(connection, may_be_last)


def external_memberships(connection: Connection, user_id: str) -> Known:
    """Returns what a user of an OIDC provider may do.

    One with a password here is somebody else, whatever the provider calls its users.
    """
    rows = connection.execute(
        select(MEMBERSHIP.c.project_id, MEMBERSHIP.c.role)
        .join(USER, USER.c.id == MEMBERSHIP.c.user_id)
        .where(USER.c.id == user_id, USER.c.password_hash == NO_PASSWORD)
    ).all()
    return Known(
        frozenset(project_id for project_id, _ in rows),
        any(role == Role.OPERATOR for _, role in rows),
    )


def _one_at_a_time(connection: Connection) -> None:
    """Waits until nobody else changes memberships.

    Of two who take the last two operators away, neither would see what the other does.
    """
    lock_name(connection, MEMBERSHIPS, "")


def _keep_an_operator(connection: Connection, may_be_last: bool) -> None:
    if may_be_last:
        return
    operators = connection.execute(
        select(func.count()).select_from(MEMBERSHIP).where(MEMBERSHIP.c.role == Role.OPERATOR.value)
    ).scalar_one()
    if operators == 0:
        raise NotAllowedNow("nobody would be an operator any more")
