"""Runs the execution service: `python -m tweezer.execution`."""

import sys

from tweezer.execution.emulators.registry import EMULATORS
from tweezer.execution.engines.fork_origin import begin_imports
from tweezer.execution.settings import ExecutionSettings


def main() -> int:
    """Runs the process and returns its exit code."""
    settings = ExecutionSettings()
    if settings.execution_engine == "local":
        begin_imports({device: EMULATORS[device] for device in settings.execution_device_types})
    # Not at the top: imported while the process that workers are forked from imports Pulser.
    from tweezer.execution.service import serve
    from tweezer.process.run import run_process

    return run_process("execution", settings, lambda stop: serve(settings, stop))


if __name__ == "__main__":
    sys.exit(main())
