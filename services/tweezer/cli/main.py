"""Entry point of `tweezer`.

The commands import what they need when they run, so that `tweezer --help` answers at once.
"""

import typer

from tweezer.cli.connection import connection
from tweezer.cli.demo import demo
from tweezer.cli.operate import batches, devices
from tweezer.cli.serve import serve
from tweezer.cli.up import up

app = typer.Typer(
    name="tweezer",
    help="The Pasqal Cloud batch API on your own machines.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
)
for command in (up, serve, connection, demo):
    app.command()(command)
app.add_typer(batches, name="batches")
app.add_typer(devices, name="devices")
