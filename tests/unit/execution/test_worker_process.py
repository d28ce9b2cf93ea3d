"""What is said about the death of a worker process."""

import signal

import pytest

from tweezer.execution.engines.worker_process import describe_exit


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (3, "The worker process ended unexpectedly with the exit code 3."),
        (0, "The worker process ended unexpectedly with the exit code 0."),
        (
            -signal.SIGKILL,
            "The worker process was killed by the system, most likely because memory ran out.",
        ),
        (-signal.SIGSEGV, "The worker process crashed (SIGSEGV)."),
        (-40, "The worker process crashed (signal 40)."),
    ],
)
def test_describe_exit(code: int, sentence: str) -> None:
    assert describe_exit(code) == sentence
