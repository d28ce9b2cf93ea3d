"""What a worker does not get is hidden from it, and from nobody else."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from tweezer.process.worker_environment import only_worker_environment

SECRET = "TWEEZER_SERVICE_KEY"


def started() -> set[str]:
    """The variables of a process that is started now, as multiprocessing starts them."""
    show = [sys.executable, "-I", "-S", "-c", "import os; print('\\n'.join(os.environ))"]
    return set(subprocess.run(show, capture_output=True, text=True, check=True).stdout.split())


def test_a_process_started_meanwhile_gets_only_what_it_needs(monkeypatch) -> None:
    monkeypatch.setenv(SECRET, "hidden")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert {SECRET, "OMP_NUM_THREADS"} <= started()
    with only_worker_environment():
        assert SECRET not in started()
        assert "OMP_NUM_THREADS" in started()
    assert {SECRET, "OMP_NUM_THREADS"} <= started()


def test_this_process_sees_what_it_saw(monkeypatch) -> None:
    """Workers are started in a thread, and others read and change variables meanwhile."""
    for name in (SECRET, "TWEEZER_GONE", "TWEEZER_CHANGED"):
        monkeypatch.setenv(name, "before")
    with only_worker_environment():
        assert os.environ[SECRET] == "before"
        os.environ.pop("TWEEZER_GONE")
        os.environ["TWEEZER_CHANGED"] = "after"
    assert SECRET in started()
    assert "TWEEZER_GONE" not in started()
    assert os.environ["TWEEZER_CHANGED"] == "after"


def test_those_that_start_at_once_all_hide_it(monkeypatch) -> None:
    monkeypatch.setenv(SECRET, "hidden")

    def start(_: int) -> bool:
        with only_worker_environment():
            return SECRET in started()

    with ThreadPoolExecutor(4) as threads:
        assert not any(threads.map(start, range(40)))
    assert SECRET in started()
