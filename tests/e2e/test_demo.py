"""`tweezer demo` and the examples."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"

Run = Callable[..., subprocess.CompletedProcess[str]]


def check_results(text: str) -> None:
    """Checks what the two programs are known to give."""
    orders = [float(order) for order in re.findall(r"MHz +(0\.\d\d)", text)]
    assert len(orders) == 9
    assert orders[0] < 0.3  # far below resonance nothing happens
    assert max(orders) > 0.9  # far above it the atoms alternate
    assert re.search(r"101010101 .*checkerboard", text)
    assert re.search(r"11010101 .*maximum independent set", text)
    shares = [int(share) for share in re.findall(r" ns +(\d+)%", text)]
    assert shares == sorted(shares)  # the slower the sweep, the better the answer
    assert shares[-1] > 60


def test_the_demo_runs_on_the_stack_of_the_data_folder(stack: Any, run_command: Run):
    answer = run_command("tweezer", "demo", "--data-dir", str(stack.data_dir))
    assert answer.returncode == 0, answer.stderr
    assert "temporary" not in answer.stdout
    check_results(answer.stdout)


@pytest.mark.slow
def test_the_demo_runs_on_a_stack_of_its_own_and_leaves_nothing(tmp_path: Path, run_command: Run):
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    data = tmp_path / "data"
    answer = run_command(
        "tweezer", "demo", TMPDIR=str(temporary), TWEEZER_DATA_DIR=str(data), timeout=240
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stderr == ""
    check_results(answer.stdout)
    assert list(temporary.iterdir()) == []
    assert not data.exists()


@pytest.mark.slow
def test_an_interrupted_demo_stops_its_stack(tmp_path: Path):
    tweezer = str(Path(sys.executable).with_name("tweezer"))
    with subprocess.Popen(
        [tweezer, "demo", "--temporary"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    ) as demo:
        assert demo.stdout is not None
        assert any("9 jobs" in line for line in demo.stdout)
        demo.send_signal(signal.SIGINT)
        assert "stopped" in demo.stdout.read()
    assert demo.returncode == 130
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("example", "shows"),
    [
        ("afm_sweep.py", r"\+2\.5 MHz  order 0\.9\d"),
        ("max_independent_set.py", r"4000 ns  11010101 in [678]\d% of the shots"),
        ("pasqal_cloud_client.py", r"area 4\.4: .*occupation \[0\.\d+, 0\.\d+\]"),
    ],
)
def test_an_example_runs_against_a_running_stack(
    example: str, shows: str, stack: Any, run_command: Run
):
    answer = run_command("python", str(EXAMPLES / example), TWEEZER_DATA_DIR=str(stack.data_dir))
    assert answer.returncode == 0, answer.stderr
    assert re.search(shows, answer.stdout), answer.stdout
