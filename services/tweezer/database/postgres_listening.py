"""Hears the words of other replicas on a connection of its own, and gets another when it is lost.

The connection must be to the server itself, or to a pooler that keeps sessions.
"""

import asyncio
from typing import Any, Final

import psycopg
import structlog
from sqlalchemy import URL

from tweezer.database.bell import CHANNEL, Hearing, hear
from tweezer.process.backoff import Backoff

log = structlog.get_logger(__name__)


class Listener:
    """Listens for a process."""

    def __init__(
        self, url: URL, connect_args: dict[str, Any], sender: str, hearing: Hearing
    ) -> None:
        # SQLAlchemy's URL may have what is no option of the driver by the same name.
        _, options = url.get_dialect()().create_connect_args(url)
        self._options: Final = {**options, **connect_args, "autocommit": True}
        self._sender, self._hearing = sender, hearing
        self._backoff = Backoff()

    async def run(self, take_over_s: float) -> None:
        """Listens for ever, and says every `take_over_s` that work may have been left undone."""
        while True:
            try:
                await self._listen(take_over_s)
            except psycopg.Error as error:
                log.warning("what other replicas tell is not heard at present", cause=str(error))
                await asyncio.sleep(self._backoff.wait_s())

    async def _listen(self, take_over_s: float) -> None:
        async with await psycopg.AsyncConnection.connect(**self._options) as connection:
            await connection.execute(f"LISTEN {CHANNEL}")
            self._backoff.reset()
            self._hearing.missed()
            while True:
                async for notice in connection.notifies(timeout=take_over_s):
                    hear(self._hearing, self._sender, notice.payload)
                # A connection that only listens would not notice that the other end is gone.
                await connection.execute("SELECT 1")
                self._hearing.take_over()
