"""Statements on log-ins that have failed."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from sqlalchemy import BigInteger, Connection, Integer, bindparam, case, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from tweezer.identity.models import FAILED_LOGIN

#: Rows deleted at each failure; more than it makes, so that they do not add up.
_FORGOTTEN_AT_ONCE: Final = 20

_FIND: Final = select(FAILED_LOGIN.c.key, FAILED_LOGIN.c.forgotten_at).where(
    FAILED_LOGIN.c.key.in_(bindparam("keys", expanding=True))
)


def _put_off(kind: Any) -> Any:
    now, pause = bindparam("now", type_=BigInteger), bindparam("pause", type_=BigInteger)
    fresh = kind.insert(FAILED_LOGIN).values(key=bindparam("key"), forgotten_at=now + pause)
    until = FAILED_LOGIN.c.forgotten_at
    latest = case((until > now, until), else_=now)
    return fresh.on_conflict_do_update(
        index_elements=["key"], set_={"forgotten_at": latest + pause}
    )


_PUT_OFF: Final[Mapping[str, Any]] = {
    kind.dialect().name: _put_off(kind) for kind in (sqlite, postgresql)
}

# Never waits for another, so that two who do this cannot wait for each other.
_FORGET: Final = delete(FAILED_LOGIN).where(
    FAILED_LOGIN.c.seq.in_(
        select(FAILED_LOGIN.c.seq)
        .where(FAILED_LOGIN.c.forgotten_at <= bindparam("now"))
        .order_by(FAILED_LOGIN.c.forgotten_at)
        .limit(bindparam("most", type_=Integer))
        .with_for_update(skip_locked=True)
    )
)


def held_until(connection: Connection, keys: Iterable[str]) -> dict[str, int]:
    """Returns from when on nothing is held against some keys, for those there is something."""
    rows = connection.execute(_FIND, {"keys": list(keys)})
    return {str(key): int(until) for key, until in rows}


def add_failure(connection: Connection, pauses: Mapping[str, int], now: int) -> None:
    """Holds a failure against keys for so much longer each, and forgets some old ones."""
    connection.execute(
        _PUT_OFF[connection.dialect.name],
        # In the same order everywhere: of two who want the same rows one waits.
        [{"key": key, "now": now, "pause": pause} for key, pause in sorted(pauses.items())],
    )
    connection.execute(_FORGET, {"now": now, "most": _FORGOTTEN_AT_ONCE})
