"""Who is next in line: the queries against a plain description of the same."""

import tempfile
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tweezer.job.models import JOB
from tweezer.job.outcomes import Outcome
from tweezer.job.store import additions, cancelling, endings, leases, pauses
from tweezer.job.store.endings import Ending

EMULATOR, EXCLUSIVE = "EMU_FREE", ("FRESNEL", "EMU_FRESNEL")
DEVICES = (EMULATOR, *EXCLUSIVE)
MANY = 10**6


@dataclass
class ModelJob:
    id: str
    age: int
    status: str = "PENDING"
    held: bool = True
    token: str | None = None


@dataclass
class ModelBatch:
    id: str
    device: str
    rank: int
    open: bool
    paused: bool = False
    cancelled: bool = False
    started: bool = False
    version: int = 0
    jobs: list[ModelJob] = field(default_factory=list)

    @property
    def unfinished(self) -> bool:
        growing = self.open and not self.cancelled
        return growing or any(job.status not in ("DONE", "CANCELED") for job in self.jobs)

    def waiting(self) -> list[ModelJob]:
        if self.paused:
            return []
        return [job for job in self.jobs if job.status == "PENDING" and not job.held]


class Model:
    """What the queue is, in plain words."""

    def __init__(self) -> None:
        self.batches: dict[str, ModelBatch] = {}
        self.paused_devices: set[str] = set()

    def next_in_line(self, devices: set[str], at_most: int) -> list[ModelJob]:
        queue = [
            (batch.rank, job.age, job)
            for device in devices - self.paused_devices
            for batch, job in self._next_on(device)
        ]
        return [job for _, _, job in sorted(queue, key=lambda each: each[:2])][:at_most]

    def _next_on(self, device: str) -> Iterator[tuple[ModelBatch, ModelJob]]:
        mine = [batch for batch in self.batches.values() if batch.device == device]
        waiting = [(batch, job) for batch in mine for job in batch.waiting()]
        if device not in EXCLUSIVE:
            yield from waiting
            return
        if any(job.token for batch in mine for job in batch.jobs):
            return
        kept_for = self.kept_for(device)
        if kept_for is None and waiting:
            kept_for = min(waiting, key=lambda each: (each[0].rank, each[1].age))[0]
        if kept_for is not None and kept_for.waiting():
            yield kept_for, kept_for.waiting()[0]

    def kept_for(self, device: str) -> ModelBatch | None:
        mine = [batch for batch in self.batches.values() if batch.device == device]
        kept = [batch for batch in mine if batch.started and batch.unfinished]
        assert len(kept) <= 1
        return kept[0] if kept else None

    def leased(self) -> list[tuple[ModelBatch, ModelJob]]:
        return [(b, job) for b in self.batches.values() for job in b.jobs if job.token]


class Queue(RuleBasedStateMachine):
    """Does the same to the tables and to the model, and leases from both."""

    open_tables: Callable[[Path], Any]

    @initialize()
    def start(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.tables = self.open_tables(Path(self.folder.name) / "job.db")
        self.model = Model()
        self.held: list[tuple[ModelBatch, str, list[ModelJob]]] = []
        self.now = self.age = 0

    def teardown(self) -> None:
        self.tables.close()
        self.folder.cleanup()

    def _tick(self) -> int:
        self.now += 1
        return self.now

    @rule(
        device=st.sampled_from(DEVICES),
        rank=st.integers(1, 3),
        jobs=st.integers(1, 3),
        is_open=st.booleans(),
    )
    def create(self, device: str, rank: int, jobs: int, is_open: bool) -> None:
        batch = ModelBatch(str(uuid.UUID(int=len(self.model.batches))), device, rank, is_open)
        self.model.batches[batch.id] = batch
        self._add(batch, jobs)
        self._release()

    @rule(data=st.data(), jobs=st.integers(1, 2), at_once=st.booleans())
    def add(self, data: st.DataObject, jobs: int, at_once: bool) -> None:
        growing = [b for b in self.model.batches.values() if b.open and not b.cancelled]
        if growing and not self.held:
            self._add(data.draw(st.sampled_from(growing)), jobs)
            if at_once:
                self._release()

    def _add(self, batch: ModelBatch, jobs: int) -> None:
        addition = self.tables.addition(
            jobs,
            batch_id=batch.id,
            first_order=len(batch.jobs),
            device_type=batch.device,
            queue_rank=batch.rank,
            exclusive=batch.device in EXCLUSIVE,
        )
        self.tables.enqueue(addition)
        added = []
        for job in addition.jobs:
            self.age += 1
            added.append(ModelJob(job.id, self.age))
        batch.jobs += added
        self.held.append((batch, addition.id, added))

    @precondition(lambda self: self.held)
    @rule()
    def release(self) -> None:
        self._release()

    def _release(self) -> None:
        batch, addition_id, added = self.held.pop()
        for job in added:
            job.held = False
        self._intend(batch, addition_id)

    @precondition(lambda self: self.held)
    @rule()
    def drop(self) -> None:
        batch, addition_id, added = self.held.pop()
        self.tables(lambda c: additions.drop(c, [addition_id]))
        batch.jobs = [job for job in batch.jobs if job not in added]

    @precondition(lambda self: self.model.batches)
    @rule(data=st.data(), change=st.sampled_from(["close", "pause", "resume", "cancel"]))
    def change_of_mind(self, data: st.DataObject, change: str) -> None:
        batch = data.draw(st.sampled_from(list(self.model.batches.values())))
        if change in ("pause", "resume"):
            batch.paused = change == "pause"
        elif change == "close":
            batch.open = False
        else:
            batch.cancelled = True
        self._intend(batch)

    def _intend(self, batch: ModelBatch, *named: str) -> None:
        batch.version += 1
        wish = {"open": batch.open, "paused": batch.paused, "cancelled": batch.cancelled}
        self.tables.intend(batch.id, batch.version, *named, **wish)
        if batch.cancelled:
            for job in batch.jobs:
                self._cancelled(job)

    def _cancelled(self, job: ModelJob) -> None:
        if job.token:
            job.status = "CANCELING"
        elif job.status == "PENDING" and not job.held:
            job.status = "CANCELED"

    @precondition(lambda self: self.model.batches)
    @rule(data=st.data())
    def cancel_a_job(self, data: st.DataObject) -> None:
        batch = data.draw(st.sampled_from(list(self.model.batches.values())))
        if batch.jobs:
            job = data.draw(st.sampled_from(batch.jobs))
            self.tables(
                lambda c: cancelling.cancel_selected(c, (JOB.c.id == job.id,), self._tick())
            )
            self._cancelled(job)

    @rule(devices=st.sets(st.sampled_from(DEVICES), max_size=2))
    def pause_devices(self, devices: set[str]) -> None:
        self.tables(lambda c: pauses.replace(c, devices))
        self.model.paused_devices = devices

    @rule(devices=st.sets(st.sampled_from(DEVICES), min_size=1), at_most=st.integers(1, 4))
    def lease(self, devices: set[str], at_most: int) -> None:
        self._lease(devices, at_most)

    @rule()
    def lease_all(self) -> None:
        self._lease(set(DEVICES), MANY)

    def _lease(self, devices: set[str], at_most: int) -> None:
        expected = self.model.next_in_line(devices, at_most)
        leased = self.tables(lambda c: leases.take(c, sorted(devices), at_most, MANY, self._tick()))
        tokens = {lease.job_id: lease.token for batch in leased for lease in batch.leases}
        assert tokens.keys() == {job.id for job in expected}
        in_order = [batch for job in expected for batch in [self._batch_of(job)]]
        assert [batch.batch_id for batch in leased] == list(dict.fromkeys(b.id for b in in_order))
        for job, batch in zip(expected, in_order, strict=True):
            job.token, job.status, batch.started = tokens[job.id], "RUNNING", True

    def _batch_of(self, job: ModelJob) -> ModelBatch:
        return next(b for b in self.model.batches.values() if job in b.jobs)

    @precondition(lambda self: self.model.leased())
    @rule(data=st.data(), outcome=st.sampled_from([Outcome.RESULT, *Outcome]))
    def end(self, data: st.DataObject, outcome: Outcome) -> None:
        _, job = data.draw(st.sampled_from(self.model.leased()))
        key = "key" if outcome is Outcome.RESULT else None
        ending = Ending(job.token or "", outcome, reason="No.", result_key=key)
        now = self._tick()
        ended = self.tables(lambda c: endings.end(c, [ending], MANY, now))
        assert not ended.refused
        final = outcome in (Outcome.RESULT, Outcome.FAILURE)
        if job.status == "CANCELING":
            job.status = "CANCELED"
        else:
            job.status = "DONE" if final else "PENDING"
        job.token = None

    @invariant()
    def an_exclusive_device_has_one_job(self) -> None:
        held = self.tables.rows(
            "SELECT device_type, count(*) AS n FROM job WHERE lease_token IS NOT NULL"
            " AND device_type <> 'EMU_FREE' GROUP BY device_type"
        )
        assert all(row["n"] == 1 for row in held)


def test_leases_are_those_of_the_model(open_tables) -> None:
    machine = type("QueueOnTables", (Queue,), {"open_tables": staticmethod(open_tables)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=60,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
