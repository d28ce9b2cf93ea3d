"""Statements on programs."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from sqlalchemy import Connection, bindparam, select
from sqlalchemy.dialects import postgresql, sqlite

from tweezer.batch.models import JOB_PROGRAM, PROGRAM
from tweezer.database.locks import has_many_writers
from tweezer.rpc.errors import Unavailable

#: `ON CONFLICT` is the same in both databases, but SQLAlchemy keeps it in their dialects.
_INSERT: Final[Mapping[str, Any]] = {
    kind.dialect().name: kind.insert(PROGRAM)
    .on_conflict_do_nothing(index_elements=["hash"])
    .returning(PROGRAM.c.size)
    for kind in (sqlite, postgresql)
}

_USE: Final[Mapping[str, Any]] = {
    kind.dialect().name: kind.insert(JOB_PROGRAM).on_conflict_do_nothing(
        index_elements=["batch_seq", "program_hash"]
    )
    for kind in (sqlite, postgresql)
}

# Locked where rows can be, so that none is deleted before those who use it are stored.
_HOLD: Final = (
    select(PROGRAM.c.hash)
    .where(PROGRAM.c.hash.in_(bindparam("hashes", expanding=True)))
    .with_for_update(read=True, key_share=True)
)

#: Most values of one statement; databases bound how many it can take.
_AT_ONCE: Final = 1000

_FIND: Final = select(PROGRAM.c.sequence).where(PROGRAM.c.hash == bindparam("hash"))


def keep_programs(
    connection: Connection, texts: Mapping[str, str], project_id: str, now: int
) -> int:
    """Stores sequences by hash, those that are not there yet, and returns their size in bytes."""
    if not texts:
        return 0
    rows = [
        {
            "hash": program_hash,
            "sequence": text,
            "created_at": now,
            "tracked": True,
            "size": len(text.encode()),
            "project_id": project_id,
        }
        for program_hash, text in sorted(texts.items())  # all lock in one order
    ]
    return sum(connection.execute(_INSERT[connection.dialect.name], rows).scalars())


def hold_programs(connection: Connection, hashes: Iterable[str], kept: Collection[str]) -> None:
    """Keeps sequences from being deleted until the end of the transaction.

    `kept` are those that `keep_programs` has just seen to. Unavailable when one of the others is
    deleted already.
    """
    wanted = sorted(set(hashes) if has_many_writers(connection) else set(hashes).difference(kept))
    for first in range(0, len(wanted), _AT_ONCE):
        some = wanted[first : first + _AT_ONCE]
        if len(connection.execute(_HOLD, {"hashes": some}).all()) != len(some):
            raise Unavailable("a sequence of the batch was deleted in this moment: try again")


def store_job_programs(connection: Connection, batch_seq: int, hashes: Collection[str]) -> None:
    """Stores that jobs of a batch have these sequences."""
    rows = [{"batch_seq": batch_seq, "program_hash": hash_} for hash_ in sorted(set(hashes))]
    if rows:
        connection.execute(_USE[connection.dialect.name], rows)


def find_program(connection: Connection, program_hash: str) -> str | None:
    """Returns the text of a sequence."""
    text: str | None = connection.execute(_FIND, {"hash": program_hash}).scalar_one_or_none()
    return text
