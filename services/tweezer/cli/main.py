"""Entry point of `tweezer`.

The commands import what they need when they run, so that `tweezer --help` answers at once.
"""

import typer

from tweezer.cli.certs import certs
from tweezer.cli.connection import connection
from tweezer.cli.db import db
from tweezer.cli.demo import demo
from tweezer.cli.keys import keys
from tweezer.cli.operate import batches, devices
from tweezer.cli.projects import projects
from tweezer.cli.serve import serve
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
for command in (up, serve, connection, demo, vacuum, certs):
    app.command()(command)
app.add_typer(batches, name="batches")
app.add_typer(devices, name="devices")
app.add_typer(webhooks, name="webhooks")
app.add_typer(users, name="users")
app.add_typer(projects, name="projects")
app.add_typer(keys, name="keys")
app.add_typer(db, name="db")
