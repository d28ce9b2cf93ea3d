"""The result store against the rows: what nobody owns goes, what is missing is told."""

import os
import uuid
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tweezer.database.timestamps import now_micros
from tweezer.job.metrics import JobMetrics
from tweezer.job.outcomes import HeldJob, Outcome
from tweezer.job.result_sweep import ResultSweep
from tweezer.job.results import ResultStore, result_key
from tweezer.job.store import endings, leases
from tweezer.job.store.endings import Ending
from tweezer.process.metrics import Metrics
from tweezer.rpc.errors import Unavailable

GRACE_S = 3600
TOKEN = "1.secret"


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "results"


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def sweep(database, folder, metrics) -> ResultSweep:
    return ResultSweep(
        database,
        ResultStore.in_folder(folder),
        now_micros,
        JobMetrics(metrics),
        delay_s=0,
        interval_s=3600,
        grace_s=GRACE_S,
    )


def put(folder: Path, key: str, *, old: bool = True) -> Path:
    file = folder / key
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"{}")
    if old:
        then = now_micros() / 1_000_000 - GRACE_S - 60
        os.utime(file, (then, then))
    return file


def lease_one(tables) -> tuple[HeldJob, str]:
    (batch,) = tables(lambda c: leases.take(c, ["EMU_FREE"], 1, 10**18, 2_000))
    token = batch.leases[0].token
    ((held),) = tables(lambda c: endings.held_jobs(c, [token])).values()
    return held, token


def end(tables, job: HeldJob, token: str, outcome: Outcome = Outcome.RESULT) -> str:
    key = result_key(job, token)
    put_at = key if outcome is Outcome.RESULT else None
    size = None if put_at is None else 2
    ending = Ending(token, outcome, reason="No.", result_key=put_at, result_bytes=size)
    tables(lambda c: endings.end(c, [ending], 3, 3_000))
    return key


async def counted(metrics: Metrics, kind: str) -> float:
    value = metrics.registry.get_sample_value("tweezer_job_recoveries_total", {"kind": kind})
    return value or 0.0


async def test_results_without_a_row_are_removed(tables, sweep, folder, metrics) -> None:
    tables.add(3)
    done, failed, running = (lease_one(tables) for _ in range(3))
    kept = put(folder, end(tables, *done))
    before = put(folder, result_key(done[0], "1.an-earlier-lease"))
    of_a_failure = put(folder, end(tables, *failed, outcome=Outcome.FAILURE))
    being_brought = put(folder, result_key(*running))
    batch = running[0].batch_id
    unknown = put(folder, f"{tables.project}/{batch}/{uuid.uuid4()}.{'0' * 16}.json")
    await sweep.sweep()
    assert kept.exists()
    # The worker may be about to repeat its call: its lease is alive.
    assert being_brought.exists()
    assert not any(file.exists() for file in (before, of_a_failure, unknown))
    assert await counted(metrics, "orphan result removed") == 3


async def test_young_results_and_other_files_are_left_alone(tables, sweep, folder) -> None:
    young = put(folder, f"p/b/{uuid.uuid4()}.{'0' * 16}.json", old=False)
    others = [put(folder, name) for name in ("README", "p/b/notes.json", "a/b/c/d.json")]
    await sweep.sweep()
    assert all(file.exists() for file in (young, *others))


async def test_what_a_crash_left_of_an_unfinished_result_is_removed(sweep, folder, metrics) -> None:
    name = f"p/b/{uuid.uuid4()}.{'0' * 16}.json#1"  # as the store calls it before it is whole
    old, young = put(folder, name), put(folder, f"{name}2", old=False)
    await sweep.sweep()
    assert not old.exists()
    assert young.exists()
    assert await counted(metrics, "unfinished result removed") == 1


async def test_a_second_sweep_finds_nothing(tables, sweep, folder, metrics) -> None:
    for _ in range(3):
        put(folder, f"p/b/{uuid.uuid4()}.{'0' * 16}.json")
    await sweep.sweep()
    await sweep.sweep()
    assert await counted(metrics, "orphan result removed") == 3


async def test_more_results_than_fit_into_one_part(tables, sweep, folder, metrics) -> None:
    tables.add(700)
    (batch,) = tables(lambda c: leases.take(c, ["EMU_FREE"], 700, 10**18, 2_000))
    held = tables(lambda c: endings.held_jobs(c, [each.token for each in batch.leases]))
    kept = [put(folder, end(tables, job, job.lease_token)) for job in held.values()]
    for _ in range(700):
        put(folder, f"p/b/{uuid.uuid4()}.{'0' * 16}.json")
    kept[0].unlink()
    kept[650].unlink()
    await sweep.sweep()
    assert len(list(folder.rglob("*.json"))) == 698
    assert await counted(metrics, "orphan result removed") == 700
    assert await counted(metrics, "missing result told") == 2


async def test_a_missing_result_is_told_and_nothing_is_changed(
    tables, sweep, folder, metrics
) -> None:
    tables.add(2)
    (first, second) = (lease_one(tables) for _ in range(2))
    gone, _ = (put(folder, end(tables, *each)) for each in (first, second))
    gone.unlink()
    before = tables.rows("SELECT * FROM job")
    with capture_logs() as logs:
        await sweep.sweep()
    (told,) = (line for line in logs if line["log_level"] == "error")
    assert (told["number"], told["jobs"]) == (1, [first[0].id])
    assert await counted(metrics, "missing result told") == 1
    assert tables.rows("SELECT * FROM job") == before
    put(folder, result_key(*first))  # the disk is back
    await sweep.sweep()
    assert await counted(metrics, "missing result told") == 1


async def test_a_store_that_is_gone_removes_nothing_from_the_rows(tables, sweep, folder) -> None:
    tables.add(1)
    end(tables, *lease_one(tables))
    folder.rmdir()
    folder.write_text("not a folder")
    with pytest.raises(Unavailable):
        await sweep.sweep()
    assert tables.rows("SELECT status, result_removed_at FROM job") == [
        {"status": "DONE", "result_removed_at": None}
    ]


async def test_it_runs_some_time_after_the_start(run_jobs, tables, tmp_path) -> None:
    orphan = put(tmp_path / "results", f"p/b/{uuid.uuid4()}.{'0' * 16}.json")
    with capture_logs() as logs:
        async with run_jobs(result_sweep_delay_s=0) as process:
            while not any(line["event"] == "results compared with the jobs" for line in logs):
                await process.lease()
    assert not orphan.exists()
