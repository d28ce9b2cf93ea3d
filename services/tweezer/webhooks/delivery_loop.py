"""Delivers messages: at least once, with longer and longer waits, no server in another's way."""

import asyncio
from collections import Counter
from contextlib import suppress
from functools import partial
from typing import Final, Protocol

import structlog
from sqlalchemy import Connection

from tweezer.database.database import Database
from tweezer.database.timestamps import Clock, now_micros
from tweezer.database.trouble import DatabaseUnavailable
from tweezer.process.metrics import Metrics
from tweezer.webhooks.metrics import WebhookMetrics
from tweezer.webhooks.sender import Sender, Sent
from tweezer.webhooks.settings import WebhookSettings
from tweezer.webhooks.store import Announcement, Deliveries, Due

log = structlog.get_logger(__name__)


class News(Protocol):
    """What the service has to announce."""

    def waits(self, connection: Connection) -> bool:
        """Says whether there is anything."""
        ...

    def take(self, connection: Connection, most: int) -> list[Announcement]:
        """Returns some of it, which counts as announced when the transaction is committed."""
        ...


#: Announcements turned into messages in one transaction.
_NEWS_AT_ONCE: Final = 500

#: Longest wait between two attempts, in seconds, and how much longer each is than the one before.
_LONGEST_WAIT_S: Final = 3600.0
_GROWTH: Final = 4.0

#: How long an attempt that ends in time may take to be recorded, in seconds.
_RECORD_S: Final = 30.0

#: Messages deleted in one transaction, and how often old ones are looked for, in seconds.
_FORGET_AT_ONCE: Final = 1000
_FORGET_EVERY_S: Final = 3600.0

#: When to look again after another replica was faster, in seconds.
_ELSEWHERE_S: Final = 1.0

_MICROS: Final = 1_000_000


class DeliveryLoop:
    """Sends what is due, some at once, a few of them to one server.

    A server gets one message at a time until it has taken one, and those that failed last time
    together have half of the slots, so that those that hang never hold up the others.
    """

    def __init__(
        self,
        settings: WebhookSettings,
        database: Database,
        deliveries: Deliveries,
        news: News,
        sender: Sender,
        clock: Clock = now_micros,
        metrics: WebhookMetrics | None = None,
    ) -> None:
        self._settings, self._database, self._deliveries = settings, database, deliveries
        self._news, self._sender, self._clock = news, sender, clock
        self._metrics = metrics or WebhookMetrics(Metrics(), database, deliveries)
        self._changed = asyncio.Event()
        self._under_way: Counter[str] = Counter()
        #: Whether the last message was taken, by server; of those that something waits for.
        self._took_last: dict[str, bool] = {}

    def wake(self) -> None:
        """Says that there may be something to announce or to send."""
        self._changed.set()

    async def run(self) -> None:
        """Delivers for ever; raises DatabaseUnavailable when it cannot go on at present."""
        try:
            await self._run()
        except BaseExceptionGroup as group:
            trouble, others = group.split(DatabaseUnavailable)
            if trouble is None or others is not None:
                raise
            raise DatabaseUnavailable(str(trouble.exceptions[0])) from group

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._forget(), name="forget old messages")
            while True:
                self._changed.clear()
                await self._store_news()
                due = await self._begin_what_is_due(group)
                with suppress(TimeoutError):
                    async with asyncio.timeout(due):
                        await self._changed.wait()

    async def _store_news(self) -> None:
        def store(connection: Connection) -> int:
            news = self._news.take(connection, _NEWS_AT_ONCE)
            return self._deliveries.add(connection, news, self._clock())

        while await self._database.read(self._news.waits):
            await self._database.write(store)

    async def _begin_what_is_due(self, group: asyncio.TaskGroup) -> float | None:
        """Begins deliveries as there are slots; returns when to look again, in seconds."""
        if not await self._database.read(self._deliveries.waits):
            return None
        targets = await self._database.scan(self._deliveries.targets)
        waiting = {target for target, _ in targets}
        self._took_last = {
            target: took for target, took in self._took_last.items() if target in waiting
        }
        for target, due in targets:
            now = self._clock()
            if due > now:
                return (due - now) / _MICROS
            room = self._room_for(target)
            if room > 0:
                messages = await self._take(target, room, now)
                if not messages:
                    return _ELSEWHERE_S
                for message in messages:
                    self._under_way[target] += 1
                    group.create_task(self._deliver(target, message), name=message.id)
        return None  # the end of a delivery makes room, and wakes the loop

    def _room_for(self, target: str) -> int:
        settings = self._settings
        free = settings.webhook_concurrency - self._under_way.total()
        took_last = self._took_last.get(target)
        if took_last:
            return min(free, settings.webhook_per_target - self._under_way[target])
        if took_last is False:
            failing = sum(
                number
                for other, number in self._under_way.items()
                if self._took_last.get(other) is False
            )
            free = min(free, settings.webhook_concurrency // 2 - failing)
        return min(free, 1 - self._under_way[target])

    async def _take(self, target: str, most: int, now: int) -> list[Due]:
        until = now + round((self._settings.webhook_timeout_s + _RECORD_S) * _MICROS)
        return await self._database.write(
            lambda c: self._deliveries.take(c, target, most, now, until)
        )

    async def _deliver(self, target: str, message: Due) -> None:
        try:
            sent = await self._sender.send(message)
            await self._record(message, sent)
        finally:
            self._under_way[target] -= 1
            if self._under_way[target] == 0:
                del self._under_way[target]
        self._took_last[target] = sent.error is None
        self._changed.set()

    async def _record(self, message: Due, sent: Sent) -> None:
        deliveries, now = self._deliveries, self._clock()
        error = sent.error
        if error is None:
            await self._database.write(lambda c: deliveries.delivered(c, message, now))
            self._metrics.attempted("delivered")
            return
        facts = {"message": message.id, "batch_id": message.batch_id, "attempt": message.attempts}
        until = now + round(self._wait_s(message.attempts) * _MICROS)
        give_up = message.created_at + round(self._settings.webhook_give_up_s * _MICROS)
        if sent.hopeless or until > give_up:
            log.warning("a webhook message is given up", **facts, reason=error)
            await self._database.write(lambda c: deliveries.failed(c, message, error, now))
            self._metrics.attempted("failed")
        else:
            log.info("a webhook message is tried again later", **facts, reason=error)
            await self._database.write(lambda c: deliveries.postponed(c, message, error, until))
            self._metrics.attempted("postponed")

    def _wait_s(self, attempts: int) -> float:
        # Bounded before the power is taken: it would not fit into a float after some hundreds.
        growth = _GROWTH ** min(attempts - 1, 10)
        return min(self._settings.webhook_first_retry_s * growth, _LONGEST_WAIT_S)

    async def _forget(self) -> None:
        """Deletes old messages, now and then."""
        keep = round(self._settings.webhook_keep_days * 86_400 * _MICROS)
        while True:
            before = self._clock() - keep
            forget = partial(self._deliveries.forget, before=before, most=_FORGET_AT_ONCE)
            while await self._database.write(forget):
                pass
            await asyncio.sleep(_FORGET_EVERY_S)
