"""The table of messages that are to be delivered; each service that sends any has its own."""

from typing import Any, Final

from sqlalchemy import BigInteger, CheckConstraint, Index, Table
from sqlmodel import Field, SQLModel

#: To be sent, now or later; taken by the server; given up.
WAITING: Final = "WAITING"
DELIVERED: Final = "DELIVERED"
FAILED: Final = "FAILED"


class Delivery(SQLModel):
    """The columns of a message, but for the key, which each service adds."""

    id: str = Field(unique=True)  #: `webhook-id`: the same for each attempt
    event: str  #: as in job.done
    project_id: str
    batch_id: str
    url: str
    target: str  #: the server of the URL
    body: str
    status: str
    attempts: int
    next_attempt_at: int | None = Field(sa_type=BigInteger)  #: while it waits
    error: str | None  #: of the last attempt
    created_at: int = Field(sa_type=BigInteger)
    ended_at: int | None = Field(sa_type=BigInteger)


def delivery_rules() -> tuple[Any, ...]:
    """Returns the constraints of the table."""
    return (
        CheckConstraint(
            f"(next_attempt_at IS NOT NULL) = (status = '{WAITING}')"
            f" AND (ended_at IS NULL) = (status = '{WAITING}')"
            f" AND (status = '{WAITING}' OR status = '{DELIVERED}' OR status = '{FAILED}')",
            name="ck_webhook_delivery_status",
        ),
        {"sqlite_autoincrement": True},
    )


def index_deliveries(table: Table) -> None:
    """Adds the indexes of the table: what is due at which server, and what has ended."""
    waiting = table.c.next_attempt_at.is_not(None)
    Index(
        "ix_webhook_delivery_due",
        table.c.target,
        table.c.next_attempt_at,
        sqlite_where=waiting,
        postgresql_where=waiting,
    )
    ended = table.c.ended_at.is_not(None)
    Index(
        "ix_webhook_delivery_ended",
        table.c.status,
        table.c.ended_at,
        sqlite_where=ended,
        postgresql_where=ended,
    )
