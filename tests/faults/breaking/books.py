"""Reads both databases and the result store, and says where they contradict each other."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, NullPool, RowMapping, create_engine

from breaking.deployment import Deployment
from tweezer.batch.identifiers import job_ids
from tweezer.lifecycle import (
    FINAL_BATCH_STATUSES,
    FINAL_JOB_STATUSES,
    BatchIntent,
    BatchStatus,
    JobCounts,
    JobStatus,
    batch_status,
)

Row = RowMapping

_INTENT = ("open", "cancelled", "paused")


@dataclass(frozen=True, slots=True)
class Books:
    """All that the services have written, at one moment."""

    batches: dict[str, Row]
    """Of the batch service."""
    additions: dict[str, Row]
    queued_batches: dict[str, Row]
    """Of the job service."""
    queued_additions: dict[str, Row]
    jobs: dict[str, Row]
    results: frozenset[str]
    """Keys in the result store."""

    @classmethod
    def read(cls, deployment: Deployment) -> "Books":
        """Reads everything."""
        urls = deployment.databases
        with _database(urls["batch"]) as batch, _database(urls["job"]) as job:
            return cls(
                batches=_rows(batch, "batch"),
                additions=_rows(batch, "addition WHERE batch_id IS NOT NULL"),
                queued_batches=_rows(job, "queued_batch"),
                queued_additions=_rows(job, "queued_addition"),
                jobs=_rows(job, "job"),
                results=frozenset(_files(deployment.data_dir / "results")),
            )

    def problems(self, unfinished: Iterable[str] = ()) -> list[str]:
        """Says what is wrong, of a system that has come to rest but for some batches."""
        return [
            *self._orphans(),
            *self._lost_jobs(),
            *self._wrong_counts(),
            *self._undelivered(),
            *self._wrong_results(),
            *self._unfinished(frozenset(unfinished)),
        ]

    def jobs_of(self, batch_id: str) -> list[Row]:
        """Returns the jobs of a batch in creation order."""
        jobs = (job for job in self.jobs.values() if job["batch_id"] == batch_id)
        return sorted(jobs, key=lambda job: int(job["creation_order"]))

    def _orphans(self) -> Iterator[str]:
        for batch_id in self.queued_batches.keys() - self.batches.keys():
            yield f"the job service has a batch that does not exist: {batch_id}"
        for addition_id in self.queued_additions.keys() - self.additions.keys():
            yield f"the job service has an addition that was never committed: {addition_id}"
        committed = {
            (addition["batch_id"], order)
            for addition in self.additions.values()
            for order in _orders(addition)
        }
        for job in self.jobs.values():
            if (job["batch_id"], job["creation_order"]) not in committed:
                yield f"job {job['id']} belongs to no addition"
            if job["id"] != _job_id(job["batch_id"], job["creation_order"]):
                yield f"job {job['id']} has an identifier that is not its own"

    def _lost_jobs(self) -> Iterator[str]:
        for addition in self.additions.values():
            queued = self.queued_additions.get(addition["id"])
            if queued is None and addition["jobs_count"]:
                yield f"a committed addition is not stored: {addition['id']}"
            if queued is not None and not queued["released"]:
                yield f"a committed addition is still held: {addition['id']}"
            for order in _orders(addition):
                if _job_id(addition["batch_id"], order) not in self.jobs:
                    yield f"batch {addition['batch_id']} lacks job {order}"

    def _wrong_counts(self) -> Iterator[str]:
        true: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for job in self.jobs.values():
            true[job["batch_id"]][job["status"]] += 1
        for batch_id, batch in self.batches.items():
            counts = JobCounts(**{s.lower(): true[batch_id][s] for s in JobStatus})
            if batch["jobs_count"] != counts.total:
                yield f"{batch_id} counts {batch['jobs_count']} jobs and has {counts.total}"
            shown = {s: batch[s.lower()] for s in JobStatus if s is not JobStatus.PENDING}
            if any(shown[s] != true[batch_id][s] for s in shown):
                yield f"{batch_id} shows {shown} where there are {counts}"
            status = batch_status(_intent(batch), counts)
            if batch["status"] != status:
                yield f"{batch_id} is {batch['status']} and should be {status}"
        for batch_id, queued in self.queued_batches.items():
            shown = {s: queued[s.lower()] for s in JobStatus}
            if any(shown[s] != true[batch_id][s] for s in shown):
                yield f"{batch_id} is counted as {shown} where there are {true[batch_id]}"

    def _undelivered(self) -> Iterator[str]:
        for batch_id, batch in self.batches.items():
            if batch["acknowledged_version"] != batch["intent_version"]:
                yield f"the intent of {batch_id} is not acknowledged"
            queued = self.queued_batches.get(batch_id)
            if queued is None:
                continue
            if queued["intent_version"] != batch["intent_version"]:
                yield f"the intent of {batch_id} is not applied"
            if any(bool(queued[name]) != bool(batch[name]) for name in _INTENT):
                yield f"the intent of {batch_id} is another here and there"
            versions = {
                batch["progress_version"],
                queued["progress_version"],
                queued["acknowledged_version"],
            }
            if len(versions) > 1:
                yield f"the progress of {batch_id} is not reported: {versions}"

    def _wrong_results(self) -> Iterator[str]:
        keys = Counter(job["result_key"] for job in self.jobs.values() if job["result_key"])
        for job in self.jobs.values():
            if (job["status"] == JobStatus.DONE) != (job["result_key"] is not None):
                yield f"job {job['id']} is {job['status']}, its result is {job['result_key']}"
        for key, owners in keys.items():
            if owners > 1:
                yield f"{owners} jobs have the result {key}"
        for key in keys.keys() - self.results:
            yield f"a result is lost: {key}"
        for key in self.results - keys.keys():
            yield f"a result belongs to no job: {key}"

    def _unfinished(self, allowed: frozenset[str]) -> Iterator[str]:
        for batch_id, batch in self.batches.items():
            if batch_id not in allowed and BatchStatus(batch["status"]) not in FINAL_BATCH_STATUSES:
                yield f"batch {batch_id} is still {batch['status']}"
        for job in self.jobs.values():
            if job["batch_id"] not in allowed and job["status"] not in FINAL_JOB_STATUSES:
                yield f"job {job['id']} is still {job['status']}"


@contextmanager
def _database(url: URL) -> Iterator[Connection]:
    """Connects to read: all of it as it is at one moment where the database can do that."""
    if url.get_backend_name() == "sqlite":
        url = url.set(database=f"file:{url.database}", query={"mode": "ro", "uri": "true"})
        engine = create_engine(url, poolclass=NullPool, connect_args={"timeout": 10})
    else:
        engine = create_engine(url, poolclass=NullPool, isolation_level="REPEATABLE READ")
    with engine.connect() as connection:
        yield connection


def _rows(connection: Connection, what: str) -> dict[str, Row]:
    return {
        row["id"]: row for row in connection.exec_driver_sql(f"SELECT * FROM {what}").mappings()
    }


def _files(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*"):
        if path.is_file():
            yield path.relative_to(folder).as_posix()


def _orders(addition: Row) -> range:
    return range(addition["first_order"], addition["first_order"] + addition["jobs_count"])


def _job_id(batch_id: str, order: int) -> str:
    return job_ids(batch_id, order, 1)[0]


def _intent(batch: Any) -> BatchIntent:
    return BatchIntent(
        open=bool(batch["open"]),
        cancelled=bool(batch["cancelled"]),
        timed_out=bool(batch["timed_out"]),
        paused=bool(batch["paused"]),
    )
