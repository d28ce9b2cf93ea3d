"""Options that several commands have."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        help="Folder of databases, results and keys.",
        show_default="$TWEEZER_DATA_DIR, else the user's data folder",
        file_okay=False,
    ),
]


class EngineName(StrEnum):
    """What can run the jobs."""

    LOCAL = "local"  #: worker processes on this machine
    DASK = "dask"  #: workers of a Dask scheduler
    SLURM = "slurm"  #: workers that are started as Slurm jobs


EngineOption = Annotated[
    EngineName | None,
    typer.Option(
        "--engine",
        help="What runs the jobs: processes of this machine, the workers of the Dask scheduler at "
        "TWEEZER_DASK_ADDRESS, or Slurm jobs.",
        show_default="$TWEEZER_EXECUTION_ENGINE, else local",
    ),
]


def resolve_data_dir(data_dir: Path | None) -> Path:
    """Returns the data folder: as given, or as every process of ours finds it."""
    from tweezer.process.settings import ProcessSettings

    return (data_dir or ProcessSettings().data_dir).expanduser().absolute()
