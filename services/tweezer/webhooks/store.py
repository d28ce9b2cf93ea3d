"""Reads and changes the table of messages."""

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection, Table, bindparam, delete, func, insert, select, update

from tweezer.database.timestamps import to_timestamp
from tweezer.rpc.errors import NotAllowedNow, NotFound
from tweezer.webhooks.models import DELIVERED, FAILED, WAITING
from tweezer.webhooks.targets import target_of


@dataclass(frozen=True, slots=True)
class Announcement:
    """Something that a user's server is to be told."""

    event: str  #: as in job.done
    url: str
    project_id: str
    batch_id: str
    at: int  #: when it happened
    facts: Mapping[str, Any]


class Due(NamedTuple):
    """A message that was taken to be sent."""

    seq: int
    id: str
    project_id: str
    batch_id: str
    url: str
    body: str
    attempts: int  #: this one included
    created_at: int


class Message(NamedTuple):
    """A message as operators see it."""

    id: str
    event: str
    project_id: str
    batch_id: str
    url: str
    status: str
    attempts: int
    next_attempt_at: int | None
    error: str | None
    created_at: int
    ended_at: int | None


class Deliveries:
    """The statements, for the table of one service."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._targets = (
            select(table.c.target, func.min(table.c.next_attempt_at))
            .where(table.c.next_attempt_at.is_not(None))
            .group_by(table.c.target)
        )
        self._first = select(table.c.seq).where(table.c.next_attempt_at.is_not(None)).limit(1)

    def add(self, connection: Connection, announcements: Iterable[Announcement], now: int) -> int:
        """Stores messages, due at once; returns how many."""
        rows = [_row(announcement, now) for announcement in announcements]
        if rows:
            connection.execute(insert(self._table), rows)
        return len(rows)

    def waits(self, connection: Connection) -> bool:
        """Says whether any message is to be sent, now or later."""
        return connection.execute(self._first).first() is not None

    def count_waiting(self, connection: Connection) -> int:
        """Returns how many messages are to be sent, now or later."""
        waiting = self._table.c.next_attempt_at.is_not(None)
        count = select(func.count()).select_from(self._table).where(waiting)
        return int(connection.execute(count).scalar_one())

    def targets(self, connection: Connection) -> list[tuple[str, int]]:
        """Returns the servers that something waits for, and when it is due, the oldest first."""
        found = [(str(target), int(due)) for target, due in connection.execute(self._targets)]
        return sorted(found, key=lambda each: each[1])

    def take(
        self, connection: Connection, target: str, most: int, now: int, until: int
    ) -> list[Due]:
        """Takes messages that are due at a server.

        They are due again at `until`, by when their sender has ended the attempt or is dead.
        """
        columns = self._table.c
        due = (
            select(columns.seq)
            .where(columns.target == target, columns.next_attempt_at <= now)
            .order_by(columns.next_attempt_at, columns.seq)
            .limit(most)
            .with_for_update(skip_locked=True)
        )
        seqs = [row[0] for row in connection.execute(due)]
        if not seqs:
            return []
        taken = (
            update(self._table)
            .where(columns.seq.in_(seqs))
            .values(next_attempt_at=until, attempts=columns.attempts + 1)
            .returning(*(columns[name] for name in Due._fields))
        )
        return sorted((Due(*row) for row in connection.execute(taken)), key=lambda each: each.seq)

    def delivered(self, connection: Connection, message: Due, now: int) -> None:
        """Records that a message was taken."""
        self._settle(connection, message, status=DELIVERED, next_attempt_at=None, ended_at=now)

    def failed(self, connection: Connection, message: Due, error: str, now: int) -> None:
        """Records that a message is given up."""
        self._settle(
            connection, message, status=FAILED, next_attempt_at=None, ended_at=now, error=error
        )

    def postponed(self, connection: Connection, message: Due, error: str, until: int) -> None:
        """Records that an attempt failed and when the next is due."""
        self._settle(connection, message, next_attempt_at=until, error=error)

    def _settle(self, connection: Connection, message: Due, **values: object) -> None:
        """Changes a message, unless its sender was taken for dead and another has it now."""
        columns = self._table.c
        connection.execute(
            update(self._table)
            .where(
                columns.seq == message.seq,
                columns.status == WAITING,
                columns.attempts == message.attempts,
            )
            .values(**values)
        )

    def messages(self, connection: Connection, status: str | None, most: int) -> list[Message]:
        """Returns messages, the newest first."""
        columns = self._table.c
        query = select(*(columns[name] for name in Message._fields)).order_by(columns.seq.desc())
        if status is not None:
            query = query.where(columns.status == status)
        return [Message(*row) for row in connection.execute(query.limit(most))]

    def send_again(self, connection: Connection, message_id: str, now: int) -> Message:
        """Makes a failed message due at once.

        Raises:
            NotFound: There is no such message here.
            NotAllowedNow: It waits, or was delivered.
        """
        columns = self._table.c
        changed = connection.execute(
            self._revive(now).where(columns.id == message_id).returning(columns.seq)
        ).first()
        row = connection.execute(
            select(*(columns[name] for name in Message._fields)).where(columns.id == message_id)
        ).first()
        if row is None:
            raise NotFound(f"webhook message {message_id} not found")
        message = Message(*row)
        if changed is None:
            raise NotAllowedNow(f"webhook message {message_id} is {message.status}, not {FAILED}")
        return message

    def send_all_again(self, connection: Connection, now: int) -> int:
        """Makes every failed message due at once; returns how many."""
        return connection.execute(self._revive(now)).rowcount

    def _revive(self, now: int) -> Any:
        columns = self._table.c
        # The day in which it is tried again begins anew.
        return (
            update(self._table)
            .where(columns.status == FAILED)
            .values(status=WAITING, next_attempt_at=now, ended_at=None, created_at=now)
        )

    def forget(self, connection: Connection, before: int, most: int) -> int:
        """Deletes messages that ended before a time; returns how many, at most so many."""
        columns = self._table.c
        old = (
            select(columns.seq)
            .where(columns.status.in_((DELIVERED, FAILED)), columns.ended_at < bindparam("before"))
            .limit(most)
        )
        return connection.execute(
            delete(self._table).where(columns.seq.in_(old)), {"before": before}
        ).rowcount


def _row(announcement: Announcement, now: int) -> dict[str, object]:
    body = {
        "type": announcement.event,
        "timestamp": to_timestamp(announcement.at).ToJsonString(),
        "data": announcement.facts,
    }
    return {
        "id": f"msg_{uuid.uuid4().hex}",
        "event": announcement.event,
        "project_id": announcement.project_id,
        "batch_id": announcement.batch_id,
        "url": announcement.url,
        "target": target_of(announcement.url),
        "body": orjson.dumps(body).decode(),
        "status": WAITING,
        "attempts": 0,
        "next_attempt_at": now,
        "created_at": now,
    }
