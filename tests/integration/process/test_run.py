"""Real processes that are really stopped."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PROGRAM = """
import asyncio, gc, sys
from tweezer.process.run import StartFailed, background, run_process
from tweezer.process.settings import ProcessSettings

async def idle():
    await asyncio.Event().wait()

async def die():
    raise ZeroDivisionError("a loop went wrong")

async def end():
    pass

async def serve(stop):
    if sys.argv[1] == "refuse":
        raise StartFailed("the port is taken")
    second = {"die": die, "end": end}.get(sys.argv[1], idle)
    async with background(first=idle(), second=second()):
        print("ready" if gc.isenabled() else "without a collector", flush=True)
        await stop.wait()
    print("stopped", flush=True)

gc.disable()  # as our processes do while they import
sys.exit(run_process("test", ProcessSettings(), serve))
"""


class Started:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stdout is not None
        self.stdout = process.stdout

    def finish(self) -> tuple[int, str, str]:
        stdout, stderr = self.process.communicate(timeout=60)
        return self.process.returncode, stdout, stderr


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., "Started"]]:
    started: list[subprocess.Popen[str]] = []

    def start(mode: str, **environment: str) -> Started:
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, mode],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={"TWEEZER_DATA_DIR": str(tmp_path), **environment},
        )
        started.append(process)
        return Started(process)

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_cleanly(start: Callable[..., Started], number: signal.Signals) -> None:
    started = start("idle")
    assert started.stdout.readline() == "ready\n"
    started.process.send_signal(number)
    assert started.finish() == (0, "stopped\n", "")


def test_it_stops_with_its_supervisor(start: Callable[..., Started]) -> None:
    started = start("idle", TWEEZER_STOP_ON_STDIN_CLOSE="true")
    assert started.stdout.readline() == "ready\n"
    # communicate() closes our end of its standard input, as the death of a supervisor would.
    assert started.finish() == (0, "stopped\n", "")


@pytest.mark.parametrize(
    ("mode", "reason"),
    [("die", "a loop went wrong"), ("end", "the background loop 'second' has ended")],
)
def test_a_dead_loop_ends_the_process_with_a_message(
    start: Callable[..., Started], mode: str, reason: str
) -> None:
    code, _, stderr = start(mode).finish()
    assert code == 70
    assert reason in stderr
    assert "the process ends because a part of it died" in stderr


def test_a_start_that_fails_is_one_sentence(start: Callable[..., Started]) -> None:
    code, _, stderr = start("refuse").finish()
    assert (code, stderr) == (1, "tweezer test: the port is taken\n")
