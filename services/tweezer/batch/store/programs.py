"""Statements on programs."""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection, bindparam, select
from sqlalchemy.dialects import postgresql, sqlite

from tweezer.batch.models import PROGRAM

#: `ON CONFLICT` is the same in both databases, but SQLAlchemy keeps it in their dialects.
_INSERT: Final[Mapping[str, Any]] = {
    kind.dialect().name: kind.insert(PROGRAM).on_conflict_do_nothing(index_elements=["hash"])
    for kind in (sqlite, postgresql)
}

_FIND: Final = select(PROGRAM.c.sequence).where(PROGRAM.c.hash == bindparam("hash"))


def keep_programs(connection: Connection, texts: Mapping[str, str], now: int) -> None:
    """Stores sequences by hash, those that are not there yet."""
    if texts:
        connection.execute(
            _INSERT[connection.dialect.name],
            [
                {"hash": program_hash, "sequence": text, "created_at": now}
                for program_hash, text in texts.items()
            ],
        )


def find_program(connection: Connection, program_hash: str) -> str | None:
    """Returns the text of a sequence."""
    text: str | None = connection.execute(_FIND, {"hash": program_hash}).scalar_one_or_none()
    return text
