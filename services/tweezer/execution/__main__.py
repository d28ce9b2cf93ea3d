"""Runs the execution service: `python -m tweezer.execution`."""

import sys

from tweezer.execution.service import serve
from tweezer.execution.settings import ExecutionSettings
from tweezer.process.run import run_process


def main() -> int:
    """Runs the process and returns its exit code."""
    settings = ExecutionSettings()
    return run_process("execution", settings, lambda stop: serve(settings, stop))


if __name__ == "__main__":
    sys.exit(main())
