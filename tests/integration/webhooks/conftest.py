"""A table of messages of its own, and a real web server that takes them or does not."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, TypeVar

import pytest
from sqlalchemy import URL, BigInteger, Column, Connection, Integer, MetaData, Table
from sqlmodel import Field, SQLModel

from tweezer.database.database import Database
from tweezer.database.opening import create_engine_of, open_database
from tweezer.database.url import sqlite_url
from tweezer.process.metrics import Metrics
from tweezer.webhooks.delivery_loop import DeliveryLoop
from tweezer.webhooks.metrics import WebhookMetrics
from tweezer.webhooks.models import Delivery, delivery_rules, index_deliveries
from tweezer.webhooks.sender import Sender
from tweezer.webhooks.settings import WebhookSettings
from tweezer.webhooks.signing import Signer
from tweezer.webhooks.store import Announcement, Deliveries, Message

T = TypeVar("T")


class Base(SQLModel):
    metadata: ClassVar[MetaData] = MetaData()


class WebhookDelivery(Delivery, Base, table=True):
    __tablename__ = "webhook_delivery"
    __table_args__ = delivery_rules()

    seq: int = Field(
        sa_column=Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    )


TABLE: Table = Base.metadata.tables["webhook_delivery"]
index_deliveries(TABLE)


@dataclass
class Received:
    """A request that a receiver got."""

    head: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """A web server of a user."""

    answers: Callable[[Received], bytes | None]
    url: str = ""
    requests: "asyncio.Queue[Received]" = field(default_factory=asyncio.Queue)
    hanging: int = 0  #: requests that are never answered, at present

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                headers = {
                    name.lower(): value
                    for name, _, value in (line.partition(": ") for line in lines[1:] if line)
                }
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                request = Received(lines[0], headers, body)
                answer = self.answers(request)
                self.requests.put_nowait(request)
                if answer is None:
                    self.hanging += 1
                    await reader.read()  # until the sender gives up
                    self.hanging -= 1
                    return
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    async def next(self) -> Received:
        """Waits for the next request."""
        async with asyncio.timeout(30):
            return await self.requests.get()


def status(code: int, *headers: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {code} X", "Content-Length: 0", *headers, "", ""]).encode()


@pytest.fixture
async def receive() -> AsyncIterator[Callable[..., object]]:
    """Starts web servers."""
    async with AsyncExitStack() as servers:

        async def start(
            answers: Callable[[Received], bytes | None] = lambda _: status(204),
        ) -> Receiver:
            receiver = Receiver(answers)
            server = await asyncio.start_server(receiver.handle, "127.0.0.1", 0)
            servers.callback(server.close)
            receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
            return receiver

        yield start


class NotingDatabase:
    """Lets tests look again after each change."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.read, self.scan = database.read, database.scan
        self.listen, self.close = database.listen, database.close
        self.changed = asyncio.Condition()

    async def write(self, change: Callable[[Connection], T]) -> T:
        result = await self._database.write(change)
        async with self.changed:
            self.changed.notify_all()
        return result


@pytest.fixture
def url(tmp_path: Path, backend: str, request: pytest.FixtureRequest) -> Iterator[URL]:
    if backend == "sqlite":
        yield sqlite_url(tmp_path / "webhooks.db")
    else:
        server = request.getfixturevalue("postgres_server")
        url = server.empty()
        yield url
        server.drop(url)


@pytest.fixture
async def database(url: URL) -> AsyncIterator[NotingDatabase]:
    engine = create_engine_of(url)
    Base.metadata.create_all(engine)
    engine.dispose()
    database = NotingDatabase(open_database(url, 4))
    yield database
    await database.close()


class Post:
    """The loop, and what it is given to announce."""

    def __init__(self, database: NotingDatabase, settings: WebhookSettings) -> None:
        self.database, self.settings = database, settings
        self.deliveries = Deliveries(TABLE)
        self.signer = Signer.with_keys(settings.webhook_keys)
        self.news: list[Announcement] = []
        self.metrics = Metrics()
        self.counted = WebhookMetrics(self.metrics, database, self.deliveries)
        self.now = 1_800_000_000_000_000

    def announce(self, url: str, event: str = "job.done", **facts: object) -> None:
        """Puts something in the way of the loop."""
        self.news.append(Announcement(event, url, "project", "batch", self.now, facts))

    async def messages(self, **expected: int) -> list[Message]:
        """Waits until there are so many messages in each status, and returns all of them."""
        async with asyncio.timeout(30), self.database.changed:
            while True:
                found = await self.database.scan(lambda c: self.deliveries.messages(c, None, 1000))
                if Counter(message.status.lower() for message in found) == expected:
                    return found
                await self.database.changed.wait()

    def waits(self, _: object) -> bool:
        return bool(self.news)

    def take(self, _: object, most: int) -> list[Announcement]:
        taken, self.news = self.news[:most], self.news[most:]
        return taken

    @asynccontextmanager
    async def running(self) -> AsyncIterator[DeliveryLoop]:
        """Runs the loop."""
        async with Sender(
            self.signer,
            "Tweezer/test",
            allow_private=self.settings.webhook_allow_private,
            timeout_s=self.settings.webhook_timeout_s,
            connections=self.settings.webhook_concurrency,
        ) as sender:
            loop = DeliveryLoop(
                self.settings,
                self.database,
                self.deliveries,
                self,
                sender,
                lambda: self.now,
                self.counted,
            )
            task = asyncio.create_task(loop.run())
            try:
                yield loop
            finally:
                task.cancel()
                await asyncio.wait([task])
                assert task.cancelled(), task.exception()


@pytest.fixture
def post(database: NotingDatabase, tmp_path: Path) -> Callable[..., Post]:
    def build(**settings: object) -> Post:
        values = {"webhook_allow_private": True, "data_dir": tmp_path, **settings}
        return Post(database, WebhookSettings(**values))  # type: ignore[arg-type]

    return build
