"""The tables of the job service, filled and read without a service."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, text

from tweezer.database.opening import create_engine_of
from tweezer.job.store import enqueue, intents
from tweezer.job.store.enqueue import Addition, NewBatch, NewJob
from tweezer.job.store.intents import Intent

T = TypeVar("T")

PROJECT = "11111111-1111-4111-8111-111111111111"
USER = "user-1"


def job_id(batch_id: str, order: int) -> str:
    return str(uuid.uuid5(uuid.UUID(batch_id), str(order)))


@dataclass
class Tables:
    """A database and the means to fill it; each call is a transaction of its own."""

    url: URL
    project: str = PROJECT

    def __post_init__(self) -> None:
        self.engine = create_engine_of(self.url)
        self.connection = self.engine.connect()

    def __call__(self, work: Callable[[Connection], T]) -> T:
        with self.connection.begin():
            return work(self.connection)

    def close(self) -> None:
        self.connection.close()
        self.engine.dispose()

    def addition(
        self,
        jobs: int = 1,
        *,
        batch_id: str | None = None,
        first_order: int = 0,
        now: int = 0,
        check_at: int = 60,
        **batch: Any,
    ) -> Addition:
        batch_id = batch_id or str(uuid.uuid4())
        shared = {
            "project_id": self.project,
            "user_id": USER,
            "device_type": "EMU_FREE",
            "queue_rank": 3,
            "origin": "CLIENT",
            "program_hash": "p" * 64,
            "backend_configuration": None,
            "configuration_json": None,
        }
        return Addition(
            id=str(uuid.uuid4()),
            batch=NewBatch(id=batch_id, **{**shared, **batch}),
            first_order=first_order,
            jobs_count=jobs,
            jobs=[
                NewJob(job_id(batch_id, order), order, None, 100 + order, None, None)
                for order in range(first_order, first_order + jobs)
            ],
            created_at=now,
            check_at=check_at,
        )

    def enqueue(self, addition: Addition) -> Addition:
        self(lambda c: enqueue.store(c, addition, lambda: addition.created_at))
        return addition

    def intend(
        self, batch_id: str, version: int, *additions: str, now: int = 1_000, **wanted: bool
    ) -> Any:
        wish = {"cancelled": False, "paused": False, "open": True, **wanted}
        return self(lambda c: intents.apply(c, [Intent(batch_id, version, additions, **wish)], now))

    def add(self, jobs: int = 1, **how: Any) -> Addition:
        """Stores jobs and releases them."""
        addition = self.enqueue(self.addition(jobs, **how))
        self.intend(addition.batch.id, 1, addition.id)
        return addition

    def rows(self, statement: str, **parameters: Any) -> list[dict[str, Any]]:
        def read(connection: Connection) -> list[dict[str, Any]]:
            return [dict(row) for row in connection.execute(text(statement), parameters).mappings()]

        return self(read)
