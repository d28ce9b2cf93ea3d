"""Word of changes for the other replicas of a service, so that who waits there need not look.

The parts of one process tell each other without this. A word is sent with the transaction that
makes the change: it is heard after the commit, and never when there is none. PostgreSQL commits
the transactions that send words one after the other, so only that is told for which somebody waits,
and not each lease and each result.

Words can be lost: with a connection, or when a process dies between a commit and what it does after
that. So a hearing is also told when it may have missed something, and when to look for work that
another replica may have left undone.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Connection, text

from tweezer.database.locks import has_many_writers

#: The channel, in the database of a service.
CHANNEL: Final = "tweezer"

#: Where a connection keeps which process it is of.
SENDER: Final = "tweezer_sender"

#: Names in one word, which PostgreSQL limits to 8000 bytes.
_NAMES_AT_ONCE: Final = 100

_TELL: Final = text(f"SELECT pg_notify('{CHANNEL}', :word)")

#: Takes the names that a word is about.
Ear = Callable[[list[str]], None]


@dataclass(frozen=True, slots=True)
class Hearing:
    """What a process does about the words of others; all of it on its event loop."""

    ears: Mapping[str, Ear] = field(default_factory=dict)
    """What to do about a word, by its subject."""
    missed: Callable[[], None] = lambda: None
    """Called when words may have been lost: whoever waits for one should look again."""
    take_over: Callable[[], None] = lambda: None
    """Called now and then: a replica may have died with work undone."""


def ring(connection: Connection, subject: str) -> None:
    """Tells the other replicas of a change, at the commit; SQLite has no other replicas."""
    if has_many_writers(connection):
        connection.execute(_TELL, {"word": _word(connection, subject)})


def ring_for(connection: Connection, subject: str, names: Iterable[str]) -> None:
    """Tells the other replicas what has changed, if anything has."""
    if has_many_writers(connection):
        named = list(names)
        for first in range(0, len(named), _NAMES_AT_ONCE):
            some = named[first : first + _NAMES_AT_ONCE]
            connection.execute(_TELL, {"word": _word(connection, subject, *some)})


def hear(hearing: Hearing, sender: str, word: str) -> None:
    """Passes a word on, unless it is one's own."""
    of, subject, *names = word.split(" ")
    ear = hearing.ears.get(subject)
    if of != sender and ear is not None:  # a newer release may have subjects of its own
        ear(names)


def _word(connection: Connection, subject: str, *names: str) -> str:
    return " ".join((connection.info.get(SENDER, "-"), subject, *names))
