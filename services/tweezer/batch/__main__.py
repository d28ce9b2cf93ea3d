"""`python -m tweezer.batch` runs the batch service."""

import sys

from tweezer.batch.service import serve
from tweezer.batch.settings import BatchSettings
from tweezer.process.run import run_process


def main() -> int:
    """Runs the service until it is told to stop."""
    settings = BatchSettings()
    return run_process("batch", settings, lambda stop: serve(settings, stop))


if __name__ == "__main__":
    sys.exit(main())
