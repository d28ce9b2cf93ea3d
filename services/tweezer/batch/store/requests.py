"""Statements on the names of calls."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, bindparam, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from tweezer.batch.models import REQUEST
from tweezer.rpc.errors import Unavailable

_FIND: Final = select(REQUEST.c.digest, REQUEST.c.batch_id, REQUEST.c.addition_id).where(
    REQUEST.c.user_id == bindparam("of_user"),
    REQUEST.c.request_id == bindparam("name"),
    REQUEST.c.expires_at > bindparam("now"),
)

_FREE: Final = delete(REQUEST).where(
    REQUEST.c.user_id == bindparam("of_user"),
    REQUEST.c.request_id == bindparam("name"),
    REQUEST.c.expires_at <= bindparam("now"),
)

_CLAIM: Final[Mapping[str, Any]] = {
    kind.dialect().name: kind.insert(REQUEST)
    .on_conflict_do_nothing(index_elements=["user_id", "request_id"])
    .returning(REQUEST.c.seq)
    for kind in (sqlite, postgresql)
}

_FREE_EXPIRED: Final = delete(REQUEST).where(REQUEST.c.expires_at <= bindparam("now"))


@dataclass(frozen=True, slots=True)
class NamedRequest:
    """A call with a name that its caller gave it."""

    user_id: str
    request_id: str
    digest: str
    expires_at: int


class FormerCall(NamedTuple):
    """What a named call made."""

    digest: str
    batch_id: str
    addition_id: str


class NameTaken(Unavailable):
    """A call of the same name was faster."""


def find_request(
    connection: Connection, user_id: str, request_id: str, now: int
) -> FormerCall | None:
    """Returns what the call of this name made, if there was one and its name has not expired."""
    row = connection.execute(_FIND, {"of_user": user_id, "name": request_id, "now": now}).first()
    return None if row is None else FormerCall(*row)


def claim_request(
    connection: Connection, named: NamedRequest, batch_id: str, addition_id: str, now: int
) -> None:
    """Gives the name to what is being stored, or raises NameTaken."""
    user_id, request_id = named.user_id, named.request_id
    connection.execute(_FREE, {"of_user": user_id, "name": request_id, "now": now})
    row = {
        "user_id": user_id,
        "request_id": request_id,
        "digest": named.digest,
        "batch_id": batch_id,
        "addition_id": addition_id,
        "expires_at": named.expires_at,
    }
    claimed = connection.execute(_CLAIM[connection.dialect.name], row).first()
    if claimed is None:
        raise NameTaken("a call of the same request_id was faster: try again")


def free_expired(connection: Connection, now: int) -> int:
    """Frees the names that have expired and returns their number."""
    return connection.execute(_FREE_EXPIRED, {"now": now}).rowcount
