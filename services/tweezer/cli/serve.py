"""`tweezer serve`: one process in the foreground."""

import os
import sys
from enum import StrEnum
from typing import Annotated

import typer

from tweezer.cli.options import DataDir, EngineOption, resolve_data_dir
from tweezer.cli.terminal import fail


class Process(StrEnum):
    """Processes that can be started alone."""

    BATCH = "batch"  #: batches, programs, devices, accounts
    JOB = "job"  #: jobs, the queue, results
    EXECUTION = "execution"  #: emulation
    GATEWAY = "gateway"  #: the REST API


def serve(
    process: Annotated[Process, typer.Argument(help="What to run.", show_default=False)],
    data_dir: DataDir = None,
    engine: EngineOption = None,
) -> None:
    """Run one process in the foreground; its settings come from TWEEZER_* variables."""
    environment = {**os.environ, "TWEEZER_DATA_DIR": str(resolve_data_dir(data_dir))}
    if engine is not None:
        if process is not Process.EXECUTION:
            fail("--engine is for `tweezer serve execution`")
        environment["TWEEZER_EXECUTION_ENGINE"] = engine
    sys.stdout.flush()
    # Not from anybody else: one of an enumeration.
    os.execve(sys.executable, [sys.executable, "-m", f"tweezer.{process}"], environment)  # nosec B606
