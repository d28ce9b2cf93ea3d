"""Statements on users, projects and memberships."""

import uuid
from collections.abc import Collection
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Select, bindparam, func, insert, select, update

from tweezer.database.row_read import RowRead
from tweezer.identity.models import MEMBERSHIP, PROJECT, USER, QueuePriority, Role
from tweezer.rpc.errors import AlreadyExists, NotFound

#: In place of the hash of a password, for users who log in with an OIDC provider.
NO_PASSWORD: Final = "!"

# Asked for each new batch, so it is not made anew each time.
_QUEUE_PRIORITY: Final = RowRead(
    select(PROJECT.c.queue_priority).where(PROJECT.c.id == bindparam("id"))
)


class Login(NamedTuple):
    """What a log-in is checked against."""

    user_id: str
    password_hash: str


class ProjectRow(NamedTuple):
    """A project as its members see it."""

    id: str
    name: str
    queue_priority: str


def canonical_username(username: str) -> str:
    """Returns the form in which user names are stored and compared: their case does not matter."""
    return username.strip().casefold()


def add_user(
    connection: Connection,
    username: str,
    password_hash: str,
    now: int,
    user_id: str | None = None,
) -> str:
    """Adds a user and returns the identifier; AlreadyExists when the name or that is taken."""
    username = canonical_username(username)
    user_id = user_id or str(uuid.uuid4())
    taken = (USER.c.username == username) | (USER.c.id == user_id)
    if connection.execute(select(USER.c.seq).where(taken)).first() is not None:
        raise AlreadyExists(f"there is already a user {username}, or one with this identifier")
    connection.execute(
        insert(USER).values(
            id=user_id, username=username, password_hash=password_hash, created_at=now
        )
    )
    return user_id


def add_project(
    connection: Connection,
    name: str,
    now: int,
    queue_priority: QueuePriority = QueuePriority.MEDIUM,
    project_id: str | None = None,
) -> str:
    """Adds a project and returns its identifier; AlreadyExists when that is taken."""
    project_id = project_id or str(uuid.uuid4())
    if connection.execute(select(PROJECT.c.seq).where(PROJECT.c.id == project_id)).first():
        raise AlreadyExists(f"there is already a project {project_id}")
    connection.execute(
        insert(PROJECT).values(
            id=project_id, name=name, queue_priority=queue_priority.value, created_at=now
        )
    )
    return project_id


def add_member(
    connection: Connection, project_id: str, user_id: str, now: int, role: Role = Role.MEMBER
) -> None:
    """Makes a user a member of a project, or changes the role that the user has there."""
    _require(connection, select(PROJECT.c.seq).where(PROJECT.c.id == project_id), "project")
    _require(connection, select(USER.c.seq).where(USER.c.id == user_id), "user")
    here = (MEMBERSHIP.c.user_id == user_id) & (MEMBERSHIP.c.project_id == project_id)
    changed = connection.execute(update(MEMBERSHIP).where(here).values(role=role.value))
    if changed.rowcount == 0:
        connection.execute(
            insert(MEMBERSHIP).values(
                user_id=user_id, project_id=project_id, role=role.value, created_at=now
            )
        )


def _require(connection: Connection, query: Select[Any], what: str) -> None:
    if connection.execute(query).first() is None:
        raise NotFound(f"there is no such {what}")


def find_login(connection: Connection, username: str) -> Login | None:
    """Returns what a log-in with this name is checked against, if the user logs in here."""
    row = connection.execute(
        select(USER.c.id, USER.c.password_hash).where(
            USER.c.username == canonical_username(username), USER.c.password_hash != NO_PASSWORD
        )
    ).first()
    return None if row is None else Login(*row)


def replace_password_hash(connection: Connection, login: Login, password_hash: str) -> None:
    """Stores a new hash of a user's password, unless the password has changed meanwhile."""
    connection.execute(
        update(USER)
        .where(USER.c.id == login.user_id, USER.c.password_hash == login.password_hash)
        .values(password_hash=password_hash)
    )


def has_users(connection: Connection) -> bool:
    """Says whether there is any user."""
    return bool(connection.execute(select(func.count()).select_from(USER)).scalar_one())


def projects_of(connection: Connection, user_id: str) -> list[ProjectRow]:
    """Returns the projects of a user by name."""
    rows = connection.execute(
        select(PROJECT.c.id, PROJECT.c.name, PROJECT.c.queue_priority)
        .join(MEMBERSHIP, MEMBERSHIP.c.project_id == PROJECT.c.id)
        .where(MEMBERSHIP.c.user_id == user_id)
        .order_by(PROJECT.c.name, PROJECT.c.seq)
    )
    return [ProjectRow(*row) for row in rows]


def projects_named(connection: Connection, project_ids: Collection[str]) -> list[ProjectRow]:
    """Returns projects by name; those that only an OIDC provider knows are called as they are."""
    rows = connection.execute(
        select(PROJECT.c.id, PROJECT.c.name, PROJECT.c.queue_priority).where(
            PROJECT.c.id.in_(project_ids)
        )
    )
    known = {row[0]: ProjectRow(*row) for row in rows}
    usual = QueuePriority.MEDIUM.value
    projects = [known.get(i, ProjectRow(i, i, usual)) for i in project_ids]
    return sorted(projects, key=lambda project: (project.name, project.id))


def is_operator(connection: Connection, user_id: str) -> bool:
    """Says whether a user runs the place: being an operator of any project is enough."""
    row = connection.execute(
        select(MEMBERSHIP.c.seq)
        .where(MEMBERSHIP.c.user_id == user_id, MEMBERSHIP.c.role == Role.OPERATOR.value)
        .limit(1)
    ).first()
    return row is not None


def queue_priority_of(connection: Connection, project_id: str) -> QueuePriority:
    """Returns the queue of a project's batches; MEDIUM for one that another issuer knows."""
    row = _QUEUE_PRIORITY.first(connection, id=project_id)
    return QueuePriority.MEDIUM if row is None else QueuePriority(row[0])
