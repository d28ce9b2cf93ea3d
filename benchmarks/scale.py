"""Compares databases with much history with ones that have next to none.

python -m benchmarks.scale [--jobs 1000000] [--few 1000] [--rounds 30] [--postgres URL URL]

Fills two databases of the job service and two of the batch service with finished batches of ten
jobs each, and runs what the services run on them: lists, status polls, leases and what the loops
look for. Each round runs everything on the small and on the large ones, in turn; medians and their
ratio are printed. With --postgres, the two databases of the job service are those of the
URLs, which must be empty.
"""

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Table, make_url, text

from tweezer.batch import service as batch_service
from tweezer.batch.filters import conditions_of, order_of
from tweezer.batch.models import BATCH
from tweezer.batch.store import clean_up, decisions, intents
from tweezer.batch.store.reads import find_batch, list_batches
from tweezer.database.database import Database
from tweezer.database.migrations import upgrade_database
from tweezer.database.opening import open_database
from tweezer.database.timestamps import now_micros
from tweezer.database.totals import Totals
from tweezer.database.url import sqlite_url
from tweezer.job import service as job_service
from tweezer.job.far_pages import FarPages
from tweezer.job.listing import Listing
from tweezer.job.models import JOB, QUEUED_BATCH
from tweezer.job.paging import page_of
from tweezer.job.store import additions, backlog, endings, leases, measures, progress, reads
from tweezer.rpc.paging import read_page
from tweezer.v1 import batch_pb2, job_pb2
from tweezer.v1.paging_pb2 import Page

PROJECT: Final = "11111111-1111-4111-8111-111111111111"
JOBS_PER_BATCH: Final = 10
WAITING: Final = 20
FIRST: Final = 1_700_000_000_000_000
#: Ratios that are claimed.
TARGETS: Final = {
    "jobs: first page": 2.0,
    "jobs: first page of DONE": 2.0,
    "jobs: page 5000": 5.0,
    "lease of 10 jobs": 1.2,
}

Step = Callable[["Side"], Awaitable[object]]


@dataclass(slots=True)
class Side:
    """The databases with few rows, or those with many."""

    jobs: Database
    batches: Database
    size: int
    listing: Listing
    totals: Totals
    """Of lists of batches."""
    times: dict[str, list[float]] = field(default_factory=dict)


def _values(table: Table, **given: str) -> str:
    """Returns an INSERT of rows numbered n.i, of expressions by column; the others are zero."""
    filled = {
        column.name: given.get(column.name, "'x'" if "CHAR" in str(column.type) else "0")
        for column in table.columns
        if column.name in given or not column.nullable
    }
    for column in table.columns:
        if "BOOL" in str(column.type) and column.name not in given:
            filled[column.name] = "false"
    filled.pop("seq", None)
    return (
        f"INSERT INTO {table.name} ({', '.join(filled)}) "
        "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :number) "
        f"SELECT {', '.join(filled.values())} FROM n"
    )


def _uuid(kind: str, number: str) -> str:
    digits = f"CAST(100000000000 + {number} AS VARCHAR)"
    return f"'{kind}0000000-0000-4000-8000-' || {digits}"


_SHARED: Final = {"project_id": f"'{PROJECT}'", "user_id": "'user'", "origin": "'CLIENT'"}
_BATCH_OF_JOB: Final = f"(n.i / {JOBS_PER_BATCH})"


def fill_jobs(connection: Connection, number: int) -> None:
    """Stores finished batches, and one with a few jobs that wait."""
    batches = number // JOBS_PER_BATCH
    queued = {**_SHARED, "device_type": "'EMU_FREE'", "queue_rank": "3"}
    queued_batch = _values(
        QUEUED_BATCH,
        **queued,
        id=_uuid("b", "n.i"),
        done=str(JOBS_PER_BATCH),
        start_at=f"{FIRST} + n.i",
        end_at=f"{FIRST} + n.i",
        progress_version="3",
        acknowledged_version="3",
    )
    connection.execute(text(queued_batch), {"number": batches})
    of_jobs = {
        **queued,
        "id": _uuid("a", "n.i"),
        "batch_id": _uuid("b", _BATCH_OF_JOB),
        "creation_order": f"n.i % {JOBS_PER_BATCH}",
        "runs": "100",
        "variables_json": "'{\"omega\": 3.5}'",
        "released": "true",
        "ready": "true",
        "created_at": f"{FIRST} + n.i",
        "updated_at": f"{FIRST} + n.i",
    }
    done = {
        "status": "CASE WHEN n.i % 50 = 0 THEN 'ERROR' ELSE 'DONE' END",
        "errors": "CASE WHEN n.i % 50 = 0 THEN '[\"no\"]' END",
        "result_key": "CASE WHEN n.i % 50 <> 0 THEN 'key' END",
        "start_at": f"{FIRST} + n.i",
        "end_at": f"{FIRST} + n.i",
        "attempt": "1",
        "progress": "100",
    }
    connection.execute(text(_values(JOB, **of_jobs, **done)), {"number": number})
    waiting = {**queued, "id": "'waiting'", "pending": str(WAITING)}
    connection.execute(text(_values(QUEUED_BATCH, **waiting)), {"number": 1})
    named = {"batch_id": "'waiting'", "id": _uuid("c", "n.i"), "creation_order": "n.i"}
    more = {**of_jobs, **named, "status": "'PENDING'"}
    connection.execute(text(_values(JOB, **more)), {"number": WAITING})


def fill_batches(connection: Connection, number: int) -> None:
    """Stores finished batches."""
    statement = _values(
        BATCH,
        **_SHARED,
        id=_uuid("b", "n.i"),
        device_type="'EMU_FREE'",
        queue_priority="'MEDIUM'",
        tags="'[]'",
        status="CASE WHEN n.i % 50 = 0 THEN 'ERROR' ELSE 'DONE' END",
        intent_version="2",
        acknowledged_version="2",
        next_order=str(JOBS_PER_BATCH),
        jobs_count=str(JOBS_PER_BATCH),
        done=str(JOBS_PER_BATCH),
        progress_version="3",
        created_at=f"{FIRST} + n.i",
        updated_at=f"{FIRST} + n.i",
        start_at=f"{FIRST} + n.i",
        end_at=f"{FIRST} + n.i",
    )
    connection.execute(text(statement), {"number": number // JOBS_PER_BATCH})


def _page(skip: int = 0) -> Any:
    return page_of(Page(size=100, skip=skip))


async def _jobs(side: Side, skip: int = 0, **filters: Any) -> None:
    rows, _ = await side.listing.jobs(
        job_pb2.JobFilter(**filters), frozenset({PROJECT}), _page(skip)
    )
    assert len(rows) == 100


async def _first_counted(side: Side) -> None:
    await _jobs(replace(side, listing=_new_listing(side.jobs)))  # which remembers no number


async def _first_far(side: Side) -> None:
    await _far(replace(side, listing=_new_listing(side.jobs)))  # which knows no landmarks


async def _far(side: Side) -> None:
    # Of the few there is no such page: their last full one stands for it.
    await _jobs(side, skip=min(500_000, side.size - 100))


def _new_listing(jobs: Database) -> Listing:
    return Listing(jobs, FarPages(now_micros))


async def _batches(side: Side, skip: int = 0, **filters: Any) -> None:
    wanted = batch_pb2.BatchFilter(**filters)
    paging = read_page(Page(size=100, skip=skip), ["created_at"], 100)
    conditions, order = conditions_of(wanted, {PROJECT}), order_of(paging, wanted)
    key = (wanted.SerializeToString(deterministic=True), PROJECT)
    await side.batches.scan(
        lambda c: list_batches(
            c, conditions, order, 100, skip, lambda count: side.totals.of(key, count)
        )
    )


class _Undone(Exception):
    """Takes back what a step has changed, so that the next one finds the same."""


async def _lease(side: Side) -> None:
    def take(connection: Connection) -> None:
        (batch,) = leases.take(connection, ["EMU_FREE"], 10, FIRST * 2, FIRST)
        assert len(batch.leases) == 10
        raise _Undone

    try:
        await side.jobs.write(take)
    except _Undone:
        return


def _job_loops(connection: Connection) -> None:
    """Runs what the loops of the job service ask for when there is nothing to do."""
    leases.earliest_expiry(connection)
    endings.expire(connection, 3, FIRST)
    additions.earliest_check(connection)
    additions.due(connection, FIRST)
    progress.unreported(connection, 0, 100)
    backlog.unfinished_jobs(connection)
    measures.queue_lengths(connection)
    measures.leases_held(connection)
    measures.batches_unreported(connection)


def _batch_loops(connection: Connection) -> None:
    """Runs what the loops of the batch service ask for when there is nothing to do."""
    intents.pending_intents(connection, 100)
    decisions.longest_idle(connection)
    clean_up.count_unacknowledged(connection)


def steps() -> dict[str, Step]:
    """Returns what is measured."""
    some_job = f"a0000000-0000-4000-8000-{100000000000 + 500}"
    some_batch = f"b0000000-0000-4000-8000-{100000000000 + 50}"
    return {
        "jobs: first page": _jobs,
        "jobs: first page, counted anew": _first_counted,
        "jobs: first page of DONE": lambda s: _jobs(s, statuses=[job_pb2.JOB_STATUS_DONE]),
        "jobs: page 5000": _far,
        "jobs: page 5000, the first time": _first_far,
        "jobs: of one batch": lambda s: s.listing.jobs(
            job_pb2.JobFilter(batch_ids=[some_batch]), frozenset({PROJECT}), _page()
        ),
        "jobs: status": lambda s: s.jobs.read(lambda c: reads.status(c, some_job)),
        "batches: first page": _batches,
        "batches: first page of DONE": lambda s: _batches(
            s, statuses=[batch_pb2.BATCH_STATUS_DONE]
        ),
        "batches: in the middle": lambda s: _batches(s, skip=max(s.size // 20 - 100, 0)),
        "batches: status": lambda s: s.batches.read(lambda c: find_batch(c, some_batch)),
        "lease of 10 jobs": _lease,
        "loops of the job service": lambda s: s.jobs.write(_job_loops),
        "loops of the batch service": lambda s: s.batches.scan(_batch_loops),
    }


async def measure(few: Side, many: Side, rounds: int) -> None:
    """Runs everything on both sides in turn."""
    for number in range(rounds + 3):  # three to warm up
        for name, step in steps().items():
            for side in (few, many) if number % 2 else (many, few):
                began = time.perf_counter()
                await step(side)
                if number >= 3:
                    side.times.setdefault(name, []).append(time.perf_counter() - began)
    print(f"{'':32} {few.size:>9} {many.size:>9} jobs")
    for name in steps():
        small, large = (1000 * statistics.median(side.times[name]) for side in (few, many))
        target, verdict = TARGETS.get(name), ""
        if target is not None:
            verdict = f"   target {target}: {'reached' if large / small <= target else 'missed'}"
        print(f"{name:32} {small:6.2f} ms {large:6.2f} ms   ratio {large / small:5.2f}{verdict}")


async def opened(folder: Path, size: int, url: URL | None) -> Side:
    """Makes and fills the databases of one side."""
    began = time.perf_counter()
    of_jobs = url or sqlite_url(folder / f"job-{size}.db")
    of_batches = sqlite_url(folder / f"batch-{size}.db")
    upgrade_database(of_jobs, job_service.MIGRATIONS)
    upgrade_database(of_batches, batch_service.MIGRATIONS)
    jobs, batches = open_database(of_jobs, 8), open_database(of_batches, 8)
    await jobs.write(lambda c: fill_jobs(c, size))
    await batches.write(lambda c: fill_batches(c, size))
    if url is not None:
        await jobs.write(lambda c: c.execute(text("ANALYZE")) and None)
    print(f"{size} jobs stored in {time.perf_counter() - began:.0f} s", flush=True)
    return Side(jobs, batches, size, _new_listing(jobs), Totals())


async def run(options: argparse.Namespace) -> None:
    """Fills the databases and measures."""
    urls = [make_url(url).set(drivername="postgresql+psycopg") for url in options.postgres or ()]
    with tempfile.TemporaryDirectory(prefix="tweezer-scale-") as temporary:
        folder = Path(temporary)
        few = await opened(folder, options.few, urls[0] if urls else None)
        many = await opened(folder, options.jobs, urls[1] if urls else None)
        try:
            await measure(few, many, options.rounds)
        finally:
            for side in (few, many):
                await side.jobs.close()
                await side.batches.close()


def main() -> None:
    """Measures and prints the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--few", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--postgres", nargs=2, metavar="URL")
    options = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    asyncio.run(run(options))


if __name__ == "__main__":
    main()
