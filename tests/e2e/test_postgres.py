"""The whole of it on PostgreSQL instead of files."""

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

pytestmark = pytest.mark.slow

SERVICES = ("batch", "identity", "job")


@pytest.fixture
def urls(postgres_server: Any) -> Iterator[dict[str, str]]:
    """A new database for each service, as the settings have it."""
    made = [postgres_server.empty() for _ in SERVICES]
    yield {
        f"TWEEZER_{service.upper()}_DATABASE_URL": url.set(
            drivername="postgresql"
        ).render_as_string(hide_password=False)
        for service, url in zip(SERVICES, made, strict=True)
    }
    for url in made:
        postgres_server.drop(url)


def test_the_demo_runs_and_all_of_it_is_kept_over_a_restart(
    tmp_path: Path,
    urls: dict[str, str],
    start_stack: Callable[..., Any],
    run_command: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    data = tmp_path / "data"
    stack = start_stack(data, "--workers", "2", **urls)
    answer = run_command("tweezer", "demo", "--data-dir", str(data))
    assert answer.returncode == 0, answer.stderr
    assert re.search(r"101010101 .*checkerboard", answer.stdout)
    assert stack.stop() == 0
    assert list(data.rglob("*.db")) == []
    with psycopg.connect(urls["TWEEZER_JOB_DATABASE_URL"]) as connection:
        rows = connection.execute("SELECT status, count(*) FROM job GROUP BY status").fetchall()
    assert [status for status, _ in rows] == ["DONE"]
    stack = start_stack(data, "--workers", "2", **urls)
    with stack.api() as api:
        batches = api.get("/api/v1/batches").raise_for_status().json()["data"]
        assert {batch["status"] for batch in batches} == {"DONE"}
        assert sum(batch["jobs_count"] for batch in batches) == rows[0][1]
    answer = run_command("tweezer", "db", "current", "--data-dir", str(data), **urls)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.count("postgresql+psycopg://") == len(SERVICES)
    assert stack.stop() == 0


def test_services_that_share_a_database_by_mistake_do_not_start(
    tmp_path: Path,
    urls: dict[str, str],
    run_command: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    shared = dict.fromkeys(urls, urls["TWEEZER_JOB_DATABASE_URL"])
    answer = run_command("tweezer", "db", "upgrade", "--data-dir", str(tmp_path), **shared)
    assert answer.returncode == 1
    sentence = " ".join(answer.stderr.split())
    assert "belongs to batch, and the identity service needs one of its own" in sentence
