"""Options that several commands have."""

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


def resolve_data_dir(data_dir: Path | None) -> Path:
    """Returns the data folder: as given, or as every process of ours finds it."""
    from tweezer.process.settings import ProcessSettings

    return (data_dir or ProcessSettings().data_dir).expanduser().absolute()
