"""`python -m tweezer.execution` runs the execution service."""

import gc
import sys


def main() -> int:
    """Runs the process and returns its exit code."""
    # The collector finds nothing in what imports leave; `run_process` turns it on again.
    gc.disable()
    from tweezer.execution.emulators.registry import EMULATORS
    from tweezer.execution.engines.fork_origin import begin_imports
    from tweezer.execution.settings import ExecutionSettings

    settings = ExecutionSettings()
    if settings.execution_engine == "local":
        begin_imports({device: EMULATORS[device] for device in settings.execution_device_types})
    # Imported while the process that workers are forked from imports Pulser.
    from tweezer.execution.service import serve
    from tweezer.process.run import run_process

    return run_process("execution", settings, lambda stop: serve(settings, stop))


if __name__ == "__main__":
    sys.exit(main())
