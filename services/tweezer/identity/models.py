"""Tables of the database `identity`.

The classes say what the tables are; every statement is SQLAlchemy Core on the tables themselves.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import ClassVar, Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Integer,
    MetaData,
    Table,
    UniqueConstraint,
)
from sqlmodel import Field, SQLModel


class Role(StrEnum):
    """What a user may do in a project."""

    MEMBER = "member"  #: submit and see work
    OPERATOR = "operator"  #: also run the machine


class QueuePriority(StrEnum):
    """Queues of batches, served in this order."""

    CRITICAL = "CRITICAL"
    HIGH = "HIGH"
    MEDIUM = "MEDIUM"
    LOW = "LOW"
    FREE = "FREE"


def _sequence() -> Column[int]:
    """Returns a key that counts up and never repeats."""
    counted = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts INTEGER columns only
    return Column("seq", counted, primary_key=True, autoincrement=True)


def _one_of(column: str, values: Iterable[str]) -> str:
    words = ", ".join(f"'{value}'" for value in values)
    return f"{column} IN ({words})"


class IdentityTable(SQLModel):
    """Base of the tables, with metadata of its own: other rooms have theirs."""

    metadata: ClassVar[MetaData] = MetaData()


class User(IdentityTable, table=True):
    """Somebody who can log in."""

    __tablename__ = "user"
    __table_args__ = ({"sqlite_autoincrement": True},)

    seq: int = Field(sa_column=_sequence())
    id: str = Field(unique=True)
    username: str = Field(unique=True)  #: in the form of `store.canonical_username`
    password_hash: str  #: `store.NO_PASSWORD` for one who logs in elsewhere
    created_at: int = Field(sa_type=BigInteger)


class Project(IdentityTable, table=True):
    """What owns batches; its members see them."""

    __tablename__ = "project"
    __table_args__ = (
        CheckConstraint(_one_of("queue_priority", QueuePriority), name="ck_project_queue_priority"),
        {"sqlite_autoincrement": True},
    )

    seq: int = Field(sa_column=_sequence())
    id: str = Field(unique=True)
    name: str
    queue_priority: str
    created_at: int = Field(sa_type=BigInteger)


class Membership(IdentityTable, table=True):
    """That a user belongs to a project."""

    __tablename__ = "membership"
    __table_args__ = (
        UniqueConstraint("user_id", "project_id", name="uq_membership_user_id_project_id"),
        CheckConstraint(_one_of("role", Role), name="ck_membership_role"),
        {"sqlite_autoincrement": True},
    )

    seq: int = Field(sa_column=_sequence())
    user_id: str = Field(sa_column_args=(ForeignKey("user.id"),))
    project_id: str = Field(sa_column_args=(ForeignKey("project.id"),), index=True)
    role: str
    created_at: int = Field(sa_type=BigInteger)


class FailedLogin(IdentityTable, table=True):
    """Somebody, or an address, whose log-ins have failed; shared by the replicas.

    The name is hashed: what nobody is called may be a password in the wrong field.
    """

    __tablename__ = "failed_login"
    __table_args__ = ({"sqlite_autoincrement": True},)

    seq: int = Field(sa_column=_sequence())
    key: str = Field(unique=True)
    #: From when on nothing is held against it: each failure puts that off by a pause.
    forgotten_at: int = Field(sa_type=BigInteger, index=True)


USER: Final[Table] = IdentityTable.metadata.tables["user"]
PROJECT: Final[Table] = IdentityTable.metadata.tables["project"]
MEMBERSHIP: Final[Table] = IdentityTable.metadata.tables["membership"]
FAILED_LOGIN: Final[Table] = IdentityTable.metadata.tables["failed_login"]
