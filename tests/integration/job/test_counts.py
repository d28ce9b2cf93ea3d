"""Whatever happens in whatever order, the counts of a batch are those of its jobs."""

import tempfile
import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from tweezer.job.models import JOB
from tweezer.job.outcomes import Outcome
from tweezer.job.store import additions, cancelling, endings, leases
from tweezer.job.store.endings import Ending
from tweezer.job.store.enqueue import BatchClosed
from tweezer.job.tokens import job_number
from tweezer.lifecycle import FINAL_JOB_STATUSES, JobStatus

MOST_ATTEMPTS = 3

BATCHES = [str(uuid.UUID(int=number, version=4)) for number in range(3)]


class Queue(RuleBasedStateMachine):
    """Does to a queue whatever the services can do to it."""

    open_tables: Callable[[Path], Any]

    held = Bundle("held")
    tokens = Bundle("tokens")

    @initialize()
    def start(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.tables = self.open_tables(Path(self.folder.name) / "job.db")
        self.now = 1_000
        self.versions = dict.fromkeys(BATCHES, 0)
        self.next_order = dict.fromkeys(BATCHES, 0)
        self.closed: set[str] = set()
        self.reported: dict[str, int] = {}
        self.final: dict[int, dict[str, Any]] = {}

    def teardown(self) -> None:
        self.tables.close()
        self.folder.cleanup()

    def _tick(self) -> int:
        self.now += 10
        return self.now

    @rule(target=held, batch=st.sampled_from(BATCHES), jobs=st.integers(0, 4))
    def enqueue(self, batch: str, jobs: int) -> Any:
        first = self.next_order[batch]
        self.next_order[batch] += jobs
        addition = self.tables.addition(jobs, batch_id=batch, first_order=first, now=self._tick())
        try:
            return self.tables.enqueue(addition)
        except BatchClosed:
            assert batch in self.closed
            return multiple()

    @rule(addition=held, paused=st.booleans(), cancelled=st.sampled_from([False] * 5 + [True]))
    def release(self, addition: Any, paused: bool, cancelled: bool) -> None:
        self._intend(addition.batch.id, addition.id, paused=paused, cancelled=cancelled)

    @rule(batch=st.sampled_from(BATCHES), paused=st.booleans(), cancelled=st.booleans())
    def change_of_mind(self, batch: str, paused: bool, cancelled: bool) -> None:
        self._intend(batch, paused=paused, cancelled=cancelled)

    @rule(batch=st.sampled_from(BATCHES))
    def close(self, batch: str) -> None:
        self.closed.add(batch)
        self._intend(batch)

    def _intend(self, batch: str, *named: str, **wanted: bool) -> None:
        self.versions[batch] += 1
        if wanted.get("cancelled"):
            self.closed.add(batch)
        wanted["open"] = batch not in self.closed
        self.tables.intend(batch, self.versions[batch], *named, now=self._tick(), **wanted)
        if batch in self.closed:
            held = "SELECT id FROM queued_addition WHERE batch_id = :batch AND NOT released"
            due = self.tables(lambda c: additions.due(c, self.now))
            assert {row["id"] for row in self.tables.rows(held, batch=batch)} <= set(due)

    @rule(addition=consumes(held))
    def drop(self, addition: Any) -> None:
        self.tables(lambda c: additions.drop(c, [addition.id]))

    @rule(target=tokens, jobs=st.integers(1, 5), lasts=st.integers(10, 200))
    def lease(self, jobs: int, lasts: int) -> Any:
        now = self._tick()
        taken = self.tables(lambda c: leases.take(c, ["EMU_FREE"], jobs, now + lasts, now))
        return multiple(*(lease.token for batch in taken for lease in batch.leases))

    @rule(token=tokens, progress=st.integers(0, 100))
    def renew(self, token: str, progress: int) -> None:
        now = self._tick()
        renewal = leases.Renewal(token, progress)
        self.tables(lambda c: leases.renew(c, [renewal], now + 100, now))

    @rule(chosen=st.dictionaries(tokens, st.sampled_from(Outcome), min_size=1, max_size=4))
    def end(self, chosen: dict[str, Outcome]) -> None:
        ends = [
            Ending(
                token,
                outcome,
                reason="It failed.",
                result_key=f"k{token}" if outcome is Outcome.RESULT else None,
            )
            for token, outcome in chosen.items()
        ]
        now = self._tick()
        first = self.tables(lambda c: endings.end(c, ends, MOST_ATTEMPTS, now))
        before = self._jobs()
        again = self.tables(lambda c: endings.end(c, ends, MOST_ATTEMPTS, now + 1))
        # Of two ends of one job the later is remembered, so the earlier may be refused by now.
        jobs = Counter(job_number(token) for token in chosen)
        refused = [token for token in again.refused if jobs[job_number(token)] == 1]
        assert refused == [token for token in first.refused if jobs[job_number(token)] == 1]
        assert set(again.refused) >= set(first.refused)
        assert again.jobs == []
        assert self._jobs() == before

    @rule(batch=st.sampled_from(BATCHES), orders=st.sets(st.integers(0, 9)))
    def cancel_some(self, batch: str, orders: set[int]) -> None:
        where = (JOB.c.batch_id == batch, JOB.c.creation_order.in_(sorted(orders)))
        before = {job["id"]: job for job in self._jobs()}
        now = self._tick()
        cancelled = self.tables(lambda c: cancelling.cancel_selected(c, where, now))
        after = {job["id"]: job for job in self._jobs()}
        for id_ in (*cancelled.held, *cancelled.final):
            assert after[id_] == before[id_]
        assert all(after[id_]["status"] in ("CANCELING", "CANCELED") for id_ in cancelled.ids)
        tokens = {after[id_]["lease_token"] for id_ in cancelled.ids} - {None}
        assert set(cancelled.stopping) <= tokens

    @rule()
    def expire(self) -> None:
        now = self._tick()
        self.tables(lambda c: endings.expire(c, MOST_ATTEMPTS, now))

    def _jobs(self) -> list[dict[str, Any]]:
        return self.tables.rows("SELECT * FROM job ORDER BY seq")

    @invariant()
    def counts_are_those_of_the_jobs(self) -> None:
        jobs = self._jobs()
        for batch in self.tables.rows("SELECT * FROM queued_batch"):
            mine = [job for job in jobs if job["batch_id"] == batch["id"]]
            for status in JobStatus:
                counted = sum(job["status"] == status for job in mine)
                assert batch[status.lower()] == counted, status
            ends = [job["end_at"] for job in mine if job["end_at"] is not None]
            assert batch["end_at"] == max(ends, default=None)
            starts = [job["start_at"] for job in mine if job["start_at"] is not None]
            assert not starts or batch["start_at"] <= min(starts)
            assert batch["progress_version"] >= self.reported.get(batch["id"], 0)
            self.reported[batch["id"]] = batch["progress_version"]

    @invariant()
    def what_is_final_stays_as_it_is(self) -> None:
        jobs = {job["seq"]: job for job in self._jobs()}
        for seq, job in self.final.items():
            assert {**jobs[seq], "ready": None} == {**job, "ready": None}
        self.final = {s: job for s, job in jobs.items() if job["status"] in FINAL_JOB_STATUSES}

    @invariant()
    def attempts_are_bounded(self) -> None:
        assert all(0 <= job["attempt"] <= MOST_ATTEMPTS for job in self._jobs())


def test_counts_after_anything(open_tables) -> None:
    machine = type("QueueOnTables", (Queue,), {"open_tables": staticmethod(open_tables)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=30,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
