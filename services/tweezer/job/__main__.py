"""Runs the job service: `python -m tweezer.job`."""

import sys

from tweezer.job.service import serve
from tweezer.job.settings import JobSettings
from tweezer.process.run import run_process


def main() -> int:
    """Runs the process and returns its exit code."""
    settings = JobSettings()
    return run_process("job", settings, lambda stop: serve(settings, stop))


if __name__ == "__main__":
    sys.exit(main())
