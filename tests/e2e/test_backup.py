"""A copy of the data that was taken while everything ran, and a start on it."""

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from tweezer.cli.programs import afm_sweep

pytestmark = pytest.mark.slow

OPERATIONS = Path(__file__).resolve().parents[2] / "docs" / "operations.md"

#: What docs/operations.md says to do where the batch database is the older one.
TELL_AGAIN = "UPDATE batch SET intent_version = intent_version + 1000000;"

State = dict[str, Any]


class User:
    """Somebody who is logged in to a stack."""

    def __init__(self, stack: Any) -> None:
        self.stack, self.api = stack, stack.api()

    def submit(self, jobs: int, **more: Any) -> str:
        body = afm_sweep.program().as_request(self.stack.facts["project_id"])
        body["jobs"] = [
            {"runs": 100 + n, "variables": {"final_detuning": 1.0 + n / 10}} for n in range(jobs)
        ]
        made = self.api.post("/api/v1/batches", json=body | more).raise_for_status()
        return str(made.json()["data"]["id"])

    def follow(self, batch_id: str, until: Callable[[State], bool]) -> State:
        """Watches a batch and returns its state as soon as it is as wanted."""
        with self.api.stream("GET", f"/api/v1/batches/{batch_id}/events") as events:
            assert events.status_code == 200
            for line in events.iter_lines():
                if line.startswith("data:") and until(state := json.loads(line[5:])):
                    return state
        raise AssertionError("the stream of events ended")

    def jobs(self, batch_id: str) -> list[State]:
        answer = self.api.get("/api/v2/jobs", params={"batch_id": batch_id, "limit": 100})
        jobs: list[State] = answer.raise_for_status().json()["data"]
        return jobs

    def result(self, job_id: str) -> bytes:
        answer = self.api.get(f"/api/v1/jobs/{job_id}/results_link").raise_for_status()
        link = answer.json()["data"]["results_link"]
        return httpx.get(link, trust_env=False, timeout=30).raise_for_status().content

    def leave(self) -> None:
        self.api.close()
        assert self.stack.stop() == 0


def is_final(state: State) -> bool:
    return state["status"] in {"DONE", "ERROR", "CANCELED", "TIMED_OUT"}


def done_jobs(state: State) -> int:
    number: int = state["jobs_count_per_status"].get("DONE", 0)
    return number


def copy_database(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source)) as one, closing(sqlite3.connect(target)) as other:
        one.backup(other)


def test_a_copy_of_a_busy_place_is_a_place_to_start_on(
    start_stack: Any, run_command: Any, tmp_path: Path
) -> None:
    original = User(start_stack(tmp_path / "original", "--workers", "1"))
    folder, copy = original.stack.data_dir, tmp_path / "copy"
    finished, busy = original.submit(2), original.submit(30)
    original.follow(finished, is_final)
    results = {job["id"]: original.result(job["id"]) for job in original.jobs(finished)}
    answer = run_command("tweezer", "backup", str(copy), "--data-dir", str(folder))
    assert answer.returncode == 0, answer.stderr
    original.leave()

    restored = User(start_stack(copy, "--workers", "1"))
    assert restored.stack.facts["password"] == original.stack.facts["password"]
    assert {id_: restored.result(id_) for id_ in results} == results
    restored.follow(busy, is_final)
    assert [job["status"] for job in restored.jobs(busy)] == ["DONE"] * 30
    assert restored.follow(restored.submit(1), is_final)["status"] == "DONE"
    restored.leave()


def test_databases_of_different_moments_find_together(start_stack: Any, tmp_path: Path) -> None:
    assert TELL_AGAIN in OPERATIONS.read_text()
    original = User(start_stack(tmp_path / "original", "--workers", "1"))
    folder, copy = original.stack.data_dir, tmp_path / "copy"
    known = original.submit(8, open=True)
    copy.mkdir()
    # The batch database is copied first, while there is work to come.
    for name in ("batch.db", "identity.db"):
        copy_database(folder / name, copy / name)
    original.follow(known, lambda state: done_jobs(state) == 8)
    unknown = original.submit(1)
    original.follow(unknown, is_final)
    copy_database(folder / "job.db", copy / "job.db")
    original.leave()
    for name in ("keys", "results"):
        shutil.copytree(folder / name, copy / name)
    shutil.copy2(folder / "connection.json", copy)

    with closing(sqlite3.connect(copy / "batch.db")) as batches:
        batches.executescript(TELL_AGAIN)
    restored = User(start_stack(copy, "--workers", "1"))
    restored.follow(known, lambda state: done_jobs(state) == 8)
    restored.api.patch(f"/api/v2/batches/{known}/complete").raise_for_status()
    assert restored.api.get(f"/api/v1/batches/{unknown}").status_code == 404
    assert restored.follow(known, is_final)["status"] == "DONE"
    assert restored.follow(restored.submit(1), is_final)["status"] == "DONE"
    restored.leave()
