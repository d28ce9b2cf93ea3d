"""A database of the first release, with data, is brought up to date and goes on working."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, Engine, inspect, text
from sqlmodel import SQLModel

from tweezer.batch.models import BatchTable
from tweezer.batch.service import MIGRATIONS as BATCH_MIGRATIONS
from tweezer.batch.store import decisions, reads
from tweezer.batch.store import intents as batch_intents
from tweezer.database.migrations import (
    newest_revision,
    revisions_of,
    upgrade,
    upgrade_database,
)
from tweezer.database.opening import create_engine_of
from tweezer.database.ownership import version_table
from tweezer.identity import store as identity_store
from tweezer.identity.bootstrap import MIGRATIONS as IDENTITY_MIGRATIONS
from tweezer.identity.models import IdentityTable
from tweezer.identity.passwords import hash_password
from tweezer.job.models import JobTable
from tweezer.job.outcomes import Outcome
from tweezer.job.service import MIGRATIONS as JOB_MIGRATIONS
from tweezer.job.store import endings, intents, leases, pauses, progress
from tweezer.job.store.endings import Ending
from tweezer.job.store.intents import Intent
from tweezer.process.run import StartFailed

DUMPS = Path(__file__).parent / "first_release"
MIGRATIONS = {
    "batch": BATCH_MIGRATIONS,
    "identity": IDENTITY_MIGRATIONS,
    "job": JOB_MIGRATIONS,
}
FIRST = "0001"
#: Later than everything that the first release wrote.
NOW = 1_760_000_100_000_000

Rows = dict[str, list[dict[str, Any]]]


def load(engine: Engine, service: str) -> None:
    upgrade(engine, MIGRATIONS[service], FIRST)
    with engine.begin() as connection:
        for statement in (DUMPS / f"{service}.sql").read_text().split(";\n"):
            if statement.strip():
                connection.exec_driver_sql(statement)
        if engine.dialect.name == "postgresql":
            for table in tables_of(engine):
                connection.execute(
                    text(
                        f"SELECT setval(pg_get_serial_sequence('\"{table}\"', 'seq'),"
                        f' (SELECT max(seq) FROM "{table}"))'
                    )
                )


def tables_of(engine: Engine) -> list[str]:
    names = inspect(engine).get_table_names()
    return sorted(name for name in names if not name.startswith("alembic_version"))


def rows_of(engine: Engine, tables: list[str]) -> Rows:
    with engine.connect() as connection:
        return {
            table: [
                dict(row)
                for row in connection.execute(
                    text(f'SELECT * FROM "{table}" ORDER BY seq')
                ).mappings()
            ]
            for table in tables
        }


@pytest.fixture
def first_release(
    backend: str, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Callable[[str], URL]]:
    """Makes a database as the first release left it."""
    made: list[URL] = []

    def make(service: str) -> URL:
        if backend == "sqlite":
            url = URL.create("sqlite", database=str(tmp_path / f"{service}.db"))
        else:
            url = request.getfixturevalue("postgres_server").empty()
            made.append(url)
        engine = create_engine_of(url)
        load(engine, service)
        engine.dispose()
        return url

    yield make
    for url in made:
        request.getfixturevalue("postgres_server").drop(url)


Upgraded = Callable[[str], Engine]


@pytest.fixture
def upgraded(first_release: Callable[[str], URL]) -> Iterator[Upgraded]:
    """Brings a database of the first release up to date."""
    engines: list[Engine] = []

    def make(service: str) -> Engine:
        url = first_release(service)
        upgrade_database(url, MIGRATIONS[service])
        engines.append(create_engine_of(url))
        return engines[-1]

    yield make
    for engine in engines:
        engine.dispose()


@pytest.mark.parametrize("service", MIGRATIONS)
def test_no_row_is_lost_or_changed(first_release, service: str) -> None:
    url = first_release(service)
    engine = create_engine_of(url)
    tables = tables_of(engine)
    before = rows_of(engine, tables)
    assert all(before.values()), "every table of the first release has rows in the dump"
    revisions = upgrade_database(url, MIGRATIONS[service])
    assert revisions.current == FIRST
    assert revisions_of(url, MIGRATIONS[service]).current == revisions.newest
    after = rows_of(engine, tables)
    for table, rows in before.items():
        assert [
            {name: row[name] for name in old} for old, row in zip(rows, after[table], strict=True)
        ] == rows
    engine.dispose()


def test_the_job_service_goes_on_with_what_it_finds(upgraded) -> None:
    engine = upgraded("job")

    def one(connection: Connection, query: str) -> Any:
        return connection.execute(text(query)).scalar_one()

    with engine.begin() as connection:
        expired = endings.expire(connection, 3, NOW)
        assert len(expired.jobs) == 1  # its worker is gone with the first release
    with engine.begin() as connection:
        running = leases.take(connection, ["EMU_FREE"], 10, NOW + 1, NOW)
        held = [lease for batch in running for lease in batch.leases]
        assert len(held) == 3  # of the open batch; the paused and the untold one wait
        assert leases.take(connection, ["FRESNEL"], 10, NOW + 1, NOW) == []
        pauses.replace(connection, [])
        (exclusive,) = leases.take(connection, ["FRESNEL"], 10, NOW + 1, NOW)
        assert len(exclusive.leases) == 1
        endings.end(
            connection, [Ending(held[0].token, Outcome.RESULT, result_key="key")], 3, NOW + 1
        )
        untold = one(connection, "SELECT batch_id FROM queued_addition WHERE NOT released")
        addition = one(connection, "SELECT id FROM queued_addition WHERE NOT released")
        intents.apply(connection, [Intent(untold, 1, [addition], False, False)], NOW)
        (batch,) = leases.take(connection, ["EMU_FREE"], 10, NOW + 1, NOW)
        assert (batch.batch_id, len(batch.leases)) == (untold, 2)
        assert len(progress.unreported(connection, 0, 100)) == 3


def test_the_batch_service_goes_on_with_what_it_finds(upgraded) -> None:
    engine = upgraded("batch")
    with engine.begin() as connection:
        (told,) = batch_intents.pending_intents(connection, 10)
        assert len(told.released_addition_ids) == 1
        batch_intents.acknowledge(connection, [told])
        rows, total = reads.list_batches(connection, [], [], 100, 0)
        assert total == len(rows) == 6
        by_status = {row.status: row for row in rows}
        assert {"DONE", "CANCELED", "RUNNING", "PAUSED", "PENDING"} == by_status.keys()
        found = reads.find_whole_batch(connection, by_status["DONE"].id)
        assert found is not None
        assert '"omega"' in (found[1] or "")
        assert json.loads(found[0].tags) == ["scan", 'it\'s "quoted" ünï']
        growing = by_status["RUNNING"]
        assert growing.open
        decisions.cancel_batch(connection, growing.id, NOW)
        (intent,) = batch_intents.pending_intents(connection, 10)
        assert (intent.batch_id, intent.cancelled) == (growing.id, True)


def test_users_log_in_as_before(upgraded) -> None:
    engine = upgraded("identity")
    with engine.begin() as connection:
        login = identity_store.find_login(connection, "Ada@example.org")
        assert login is not None
        assert login.password_hash.startswith("$argon2id$")
        names = [p.name for p in identity_store.projects_of(connection, login.user_id)]
        assert sorted(names) == ['Rydberg\'s "own"', "default"]
        assert not identity_store.is_operator(connection, login.user_id)
        identity_store.add_user(connection, "new", hash_password("x"), NOW)  # the keys go on


@pytest.mark.parametrize(
    ("service", "tables"),
    [("batch", BatchTable), ("identity", IdentityTable), ("job", JobTable)],
)
def test_the_migrations_make_the_tables_of_the_models(
    postgres_server, service: str, tables: type[SQLModel]
) -> None:
    """On PostgreSQL too; what SQLite needs beyond that is tested with the services."""
    url = postgres_server.empty()
    upgrade_database(url, MIGRATIONS[service])
    engine = create_engine_of(url)
    with engine.connect() as connection:
        options = {"compare_type": True, "version_table": version_table(connection, service)}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, tables.metadata) == []
    engine.dispose()
    postgres_server.drop(url)


@pytest.fixture
def one_for_all(backend: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[URL]:
    if backend == "sqlite":
        yield URL.create("sqlite", database=str(tmp_path / "tweezer.db"))
    else:
        server = request.getfixturevalue("postgres_server")
        url = server.empty()
        yield url
        server.drop(url)


@pytest.mark.parametrize(("first", "second"), [*permutations(MIGRATIONS, 2)])
def test_two_services_do_not_share_a_database(one_for_all: URL, first: str, second: str) -> None:
    upgrade_database(one_for_all, MIGRATIONS[first])
    engine = create_engine_of(one_for_all)
    tables = tables_of(engine)
    with pytest.raises(StartFailed, match=f"the {second} service needs one of its own"):
        upgrade_database(one_for_all, MIGRATIONS[second])
    assert tables_of(engine) == tables
    engine.dispose()
    upgrade_database(one_for_all, MIGRATIONS[first])  # which goes on as before


def test_the_tables_of_another_program_are_left_alone(postgres_server) -> None:
    url = postgres_server.empty()
    engine = create_engine_of(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE alembic_version (version_num varchar(32))"))
    with pytest.raises(StartFailed, match="belongs to another program"):
        upgrade_database(url, MIGRATIONS["batch"])
    assert inspect(engine).get_table_names() == ["alembic_version"]
    engine.dispose()
    postgres_server.drop(url)


@pytest.mark.parametrize("scripts", list(MIGRATIONS.values()), ids=MIGRATIONS)
def test_the_names_of_the_files_tell_the_newest_migration(scripts: Path) -> None:
    config = Config()
    config.set_main_option("script_location", str(scripts))
    assert newest_revision(scripts) == ScriptDirectory.from_config(config).get_current_head()


def test_a_start_on_a_database_that_is_up_to_date_does_without_alembic(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'job.db'}"
    program = (
        "import sys; from pathlib import Path; from sqlalchemy import make_url; "
        "from tweezer.database.migrations import upgrade_database; "
        f"upgrade_database(make_url({url!r}), Path({str(JOB_MIGRATIONS)!r})); "
        "print('alembic' in sys.modules)"
    )
    outputs = [
        subprocess.run(
            [sys.executable, "-c", program], check=True, capture_output=True, text=True
        ).stdout.strip()
        for _ in range(2)
    ]
    assert outputs == ["True", "False"]
