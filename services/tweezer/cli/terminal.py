"""How the commands talk to their user: answers on standard output, the rest on standard error."""

from collections.abc import Mapping
from typing import NoReturn

import typer
from rich.console import Console


def answers() -> Console:
    """Returns the console for what the user asked for."""
    return Console(highlight=False)


def notices() -> Console:
    """Returns the console for everything else."""
    return Console(stderr=True, highlight=False)


def print_rows(console: Console, rows: Mapping[str, str]) -> None:
    """Prints names and values in two columns; values are never cut or wrapped."""
    for name, value in rows.items():
        console.print(f"  [bold]{name:<15}[/]", end="")
        console.print(value, markup=False, soft_wrap=True)


def warn(text: str) -> None:
    """Tells the user about something that the command copes with."""
    notices().print(f"tweezer: {text}", style="yellow", markup=False, soft_wrap=True)


def fail(reason: str, code: int = 1) -> NoReturn:
    """Says why a command cannot go on and ends it."""
    notices().print(f"tweezer: {reason}", style="red", markup=False, soft_wrap=True)
    raise typer.Exit(code)
