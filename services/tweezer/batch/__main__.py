"""`python -m tweezer.batch` runs the batch service."""

import gc
import sys


def main() -> int:
    """Runs the process and returns its exit code."""
    # The collector finds nothing in what imports leave; `run_process` turns it on again.
    gc.disable()
    from tweezer.batch.service import serve
    from tweezer.batch.settings import BatchSettings
    from tweezer.process.run import run_process

    settings = BatchSettings()
    return run_process("batch", settings, lambda stop: serve(settings, stop))


if __name__ == "__main__":
    sys.exit(main())
