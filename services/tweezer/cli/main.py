"""Entry point of `tweezer`.

The commands import what they need when they run, so that `tweezer --help` answers at once.
"""

from typing import Annotated

import typer

from tweezer.cli.backup import backup
from tweezer.cli.certs import certs
from tweezer.cli.connection import connection
from tweezer.cli.db import db
from tweezer.cli.demo import demo
from tweezer.cli.keys import keys
from tweezer.cli.operate import batches, devices
from tweezer.cli.projects import projects
from tweezer.cli.ready import ready
from tweezer.cli.serve import serve
from tweezer.cli.terminal import answers
from tweezer.cli.up import up
from tweezer.cli.users import users
from tweezer.cli.vacuum import vacuum
from tweezer.cli.webhooks import webhooks

app = typer.Typer(
    name="tweezer",
    help="The Pasqal Cloud batch API on your own machines.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        answers().print(f"tweezer {version('tweezer')}", markup=False)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """Takes the options that stand before a command; its text for users is the help above."""


for command in (up, serve, ready, connection, demo, backup, vacuum, certs):
    app.command()(command)
app.add_typer(batches, name="batches")
app.add_typer(devices, name="devices")
app.add_typer(webhooks, name="webhooks")
app.add_typer(users, name="users")
app.add_typer(projects, name="projects")
app.add_typer(keys, name="keys")
app.add_typer(db, name="db")
