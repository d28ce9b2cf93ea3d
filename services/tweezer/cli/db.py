"""`tweezer db`: the tables of the services, brought up to date while nothing runs."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from tweezer.cli.options import DataDir, resolve_data_dir
from tweezer.cli.terminal import answers, fail, print_rows

if TYPE_CHECKING:
    from sqlalchemy import URL

db = typer.Typer(help="Bring the databases up to date.", no_args_is_help=True)


@db.command("upgrade")
def upgrade(data_dir: DataDir = None) -> None:
    """Run the migrations that the databases lack; every service also does so when it starts."""
    from tweezer.database.migrations import revisions_of, upgrade_database
    from tweezer.process.run import StartFailed

    rows: dict[str, str] = {}
    try:
        for name, url, migrations in databases(resolve_data_dir(data_dir)):
            before = upgrade_database(url, migrations)
            after = revisions_of(url, migrations).current
            same = before.current == after
            rows[name] = f"{after}" if same else f"{before.current or 'nothing'} -> {after}"
    except StartFailed as error:
        fail(str(error))
    print_rows(answers(), rows)


@db.command("current")
def current(data_dir: DataDir = None) -> None:
    """Show how far each database is and how far it could be; changes nothing."""
    from tweezer.database.migrations import revisions_of
    from tweezer.process.run import StartFailed

    rows: dict[str, str] = {}
    try:
        for name, url, migrations in databases(resolve_data_dir(data_dir)):
            found = revisions_of(url, migrations)
            newer = "" if found.current == found.newest else f" (newest: {found.newest})"
            shown = url.render_as_string(hide_password=True)
            rows[name] = f"{found.current or 'nothing'}{newer}  {shown}"
    except StartFailed as error:
        fail(str(error))
    print_rows(answers(), rows)


def databases(data_dir: Path) -> "Iterator[tuple[str, URL, Path]]":
    """Yields each service's database, as its settings name it, and its migrations."""
    from tweezer.batch.service import MIGRATIONS as BATCH_MIGRATIONS
    from tweezer.batch.settings import BatchSettings
    from tweezer.identity.bootstrap import MIGRATIONS as IDENTITY_MIGRATIONS
    from tweezer.job.service import MIGRATIONS as JOB_MIGRATIONS
    from tweezer.job.settings import JobSettings

    batch, job = BatchSettings(data_dir=data_dir), JobSettings(data_dir=data_dir)
    yield "batch", batch.batch_database, BATCH_MIGRATIONS
    yield "identity", batch.identity_database, IDENTITY_MIGRATIONS
    yield "job", job.job_database, JOB_MIGRATIONS
