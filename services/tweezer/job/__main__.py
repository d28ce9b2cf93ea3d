"""`python -m tweezer.job` runs the job service."""

import gc
import sys


def main() -> int:
    """Runs the process and returns its exit code."""
    # The collector finds nothing in what imports leave; `run_process` turns it on again.
    gc.disable()
    from tweezer.job.service import serve
    from tweezer.job.settings import JobSettings
    from tweezer.process.run import run_process

    settings = JobSettings()
    return run_process("job", settings, lambda stop: serve(settings, stop))


if __name__ == "__main__":
    sys.exit(main())
