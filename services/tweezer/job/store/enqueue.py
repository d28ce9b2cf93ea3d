"""Stores the jobs of an addition, held."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from sqlalchemy import Connection, bindparam, false, insert, literal_column, select, update
from sqlalchemy.dialects import postgresql, sqlite

from tweezer.database.timestamps import Clock
from tweezer.job.models import JOB, QUEUED_ADDITION, QUEUED_BATCH
from tweezer.job.store import history
from tweezer.lifecycle import JobStatus
from tweezer.rpc.errors import Unavailable

#: Rows handed to the driver at once: enough to be quick, few enough to stay small.
_CHUNK: Final = 1000

_ADDITION: Final = select(QUEUED_ADDITION.c.seq).where(QUEUED_ADDITION.c.id == bindparam("named"))
_JOB_IN_SPAN: Final = (
    select(JOB.c.seq)
    .where(
        JOB.c.batch_id == bindparam("of_batch"),
        JOB.c.creation_order.between(bindparam("first"), bindparam("last")),
    )
    .limit(1)
)
_COUNT_IN: Final = (
    update(QUEUED_BATCH)
    .where(QUEUED_BATCH.c.id == bindparam("of_batch"))
    .values(pending=QUEUED_BATCH.c.pending + bindparam("number"))
    .returning(QUEUED_BATCH.c.open, QUEUED_BATCH.c.intent_version)
)
#: `ON CONFLICT` is the same in both databases, but SQLAlchemy keeps it in their dialects.
_INSERT_BATCH: Final[Mapping[str, Any]] = {
    kind.dialect().name: kind.insert(QUEUED_BATCH)
    .on_conflict_do_nothing(index_elements=["id"])
    .returning(QUEUED_BATCH.c.seq)
    for kind in (sqlite, postgresql)
}
_INSERT_ADDITION: Final = insert(QUEUED_ADDITION)
# What is the same for every new job stands in the statement: a bound value costs time at each row.
_INSERT_JOBS: Final = insert(JOB).values(
    status=literal_column(f"'{JobStatus.PENDING}'"),
    released=false(),
    ready=false(),
    attempt=literal_column("0"),
    progress=literal_column("0"),
)


@dataclass(frozen=True, slots=True)
class NewBatch:
    """What the jobs of a batch share."""

    id: str
    project_id: str
    user_id: str
    device_type: str
    queue_rank: int
    origin: str
    program_hash: str | None
    backend_configuration: str | None
    configuration_json: str | None
    exclusive: bool = False
    webhook: str | None = None


@dataclass(frozen=True, slots=True)
class NewJob:
    """What is a job's own."""

    id: str
    creation_order: int
    parent_id: str | None
    runs: int | None
    variables_json: str | None
    program_hash: str | None


@dataclass(frozen=True, slots=True)
class Addition:
    """Jobs added by one call; their creation orders follow each other."""

    id: str
    batch: NewBatch
    first_order: int
    jobs_count: int
    jobs: Sequence[NewJob]
    created_at: int
    check_at: int
    sequence_bytes: int = 0  #: of all sequences of the project


class OrderTaken(Exception):
    """Another addition has jobs of the same creation order."""


class BatchClosed(Exception):
    """The batch takes no more jobs: this addition can never be committed."""


def store(connection: Connection, addition: Addition, clock: Clock) -> None:
    """Stores an addition; one that is there already is left as it is."""
    if not _store_new_batch(connection, addition.batch, pending=addition.jobs_count):
        if connection.execute(_ADDITION, {"named": addition.id}).first() is not None:
            return
        _refuse_taken_orders(connection, addition)
        _count_in(connection, addition)
    connection.execute(
        _INSERT_ADDITION,
        {
            "id": addition.id,
            "batch_id": addition.batch.id,
            "first_order": addition.first_order,
            "jobs_count": addition.jobs_count,
            "released": False,
            "check_at": addition.check_at,
        },
    )
    rows = (_row(addition, job) for job in addition.jobs)
    while chunk := list(islice(rows, _CHUNK)):
        connection.execute(_INSERT_JOBS, chunk)
    if addition.jobs and history.is_late(addition.created_at, clock()):
        history.rewritten(connection, [addition.batch.project_id])


def _store_new_batch(connection: Connection, batch: NewBatch, pending: int) -> bool:
    """Stores a batch with its first jobs counted; says whether it was not there yet."""
    stored = connection.execute(
        _INSERT_BATCH[connection.dialect.name],
        {
            "id": batch.id,
            "project_id": batch.project_id,
            "user_id": batch.user_id,
            "device_type": batch.device_type,
            "queue_rank": batch.queue_rank,
            "origin": batch.origin,
            "program_hash": batch.program_hash,
            "backend_configuration": batch.backend_configuration,
            "configuration_json": batch.configuration_json,
            "exclusive": batch.exclusive,
            "webhook": batch.webhook,
            "intent_version": 0,
            "cancelled": False,
            "paused": False,
            "open": False,
            **{status.lower(): 0 for status in JobStatus},
            "pending": pending,
            "progress_version": 0,
            "acknowledged_version": 0,
        },
    ).first()
    return stored is not None


def _refuse_taken_orders(connection: Connection, addition: Addition) -> None:
    last = addition.first_order + addition.jobs_count - 1
    span = {"of_batch": addition.batch.id, "first": addition.first_order, "last": last}
    if connection.execute(_JOB_IN_SPAN, span).first() is not None:
        raise OrderTaken


def _count_in(connection: Connection, addition: Addition) -> None:
    """Counts jobs of a batch that is known; from here on no intent closes it before they are there.

    Raises BatchClosed when one has closed it.
    """
    batch = connection.execute(
        _COUNT_IN, {"of_batch": addition.batch.id, "number": addition.jobs_count}
    ).first()
    if batch is None:
        # It went with its last addition, which was never committed, since it was looked for.
        raise Unavailable("the jobs could not be stored at this moment: try again")
    if batch.intent_version and not batch.open:
        raise BatchClosed


def _row(addition: Addition, job: NewJob) -> dict[str, object]:
    batch = addition.batch
    return {
        "id": job.id,
        "batch_id": batch.id,
        "creation_order": job.creation_order,
        "parent_id": job.parent_id,
        "project_id": batch.project_id,
        "user_id": batch.user_id,
        "device_type": batch.device_type,
        "queue_rank": batch.queue_rank,
        "origin": batch.origin,
        "exclusive": batch.exclusive,
        "has_webhook": batch.webhook is not None,
        "runs": job.runs,
        "variables_json": job.variables_json,
        "program_hash": job.program_hash,
        "created_at": addition.created_at,
        "updated_at": addition.created_at,
    }
