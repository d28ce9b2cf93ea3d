"""The first start, and every later one."""

import stat
from pathlib import Path

import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from tweezer.database.opening import create_engine_of
from tweezer.database.ownership import version_table
from tweezer.identity import bootstrap, store
from tweezer.identity.models import IdentityTable, QueuePriority, Role
from tweezer.identity.passwords import hash_password
from tweezer.identity.settings import IdentitySettings
from tweezer.rpc.errors import AlreadyExists, NotFound


@pytest.fixture
def settings(tmp_path, backend, new_database):
    if backend == "sqlite":
        return IdentitySettings(data_dir=tmp_path / "data")
    url = new_database(tmp_path / "data" / "identity.db", bootstrap.MIGRATIONS)
    return IdentitySettings(
        data_dir=tmp_path / "data",
        identity_database_url=url.render_as_string(hide_password=False),
    )


@pytest.fixture
def connect(settings):
    engine = create_engine_of(settings.identity_database)
    yield engine.begin
    engine.dispose()


def everything(folder: Path):
    return {
        path: path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix not in (".db-wal", ".db-shm")
    }


def users(connect):
    with connect() as connection:
        return connection.execute(sqlalchemy.text('SELECT id, username FROM "user"')).all()


def test_the_first_start_makes_a_user_in_a_project(settings, connect):
    login = bootstrap.bootstrap(settings)
    assert users(connect) == [(login.user_id, login.username)]
    with connect() as connection:
        (project,) = store.projects_of(connection, login.user_id)
    assert (project.id, project.name) == (login.project_id, "default")
    assert project.queue_priority == QueuePriority.MEDIUM
    assert len(login.password) >= 20
    assert stat.S_IMODE(settings.connection_file.stat().st_mode) == 0o600
    assert bootstrap.read_first_login(settings.connection_file) == login


def test_later_starts_change_nothing(settings, connect):
    login = bootstrap.bootstrap(settings)
    before = everything(settings.data_dir)
    assert bootstrap.bootstrap(settings) == login
    assert everything(settings.data_dir) == before


def test_each_data_folder_has_its_own_password(settings, tmp_path):
    other = IdentitySettings(data_dir=tmp_path / "other")
    assert bootstrap.bootstrap(settings).password != bootstrap.bootstrap(other).password


def test_a_start_that_died_between_file_and_user_is_finished(settings, connect):
    """The file is written first: what it says must become true, or nobody could log in."""
    bootstrap.prepare(settings)
    login = bootstrap.ensure_first_login(settings.connection_file)
    assert users(connect) == []
    assert bootstrap.bootstrap(settings) == login
    assert users(connect) == [(login.user_id, login.username)]


def test_without_the_file_no_second_user_appears(settings, connect):
    """An operator may delete it."""
    bootstrap.bootstrap(settings)
    settings.connection_file.unlink()
    assert bootstrap.bootstrap(settings) is None
    assert len(users(connect)) == 1
    assert not settings.connection_file.exists()


def options(connection):
    table = version_table(connection, "identity")
    return {"compare_type": True, "version_table": table}


def test_the_migrations_make_the_tables_of_the_models(settings, connect):
    bootstrap.prepare(settings)
    with connect() as connection:
        context = MigrationContext.configure(connection, opts=options(connection))
        assert compare_metadata(context, IdentityTable.metadata) == []


def test_names_of_users_are_taken_whatever_their_case(settings, connect):
    bootstrap.prepare(settings)
    with connect() as connection:
        store.add_user(connection, "Ada@Example.org", hash_password("x"), 0)
        with pytest.raises(AlreadyExists, match=r"there is already a user ada@example\.org"):
            store.add_user(connection, " ada@example.ORG", hash_password("y"), 0)


def test_members_are_of_projects_and_users_that_exist(settings, connect):
    bootstrap.prepare(settings)
    with connect() as connection:
        user_id = store.add_user(connection, "ada", "hash", 0)
        project_id = store.add_project(connection, "p", 0, QueuePriority.HIGH)
        with pytest.raises(NotFound, match="there is no such project"):
            store.add_member(connection, "nothing", user_id, 0)
        with pytest.raises(NotFound, match="there is no such user"):
            store.add_member(connection, project_id, "nobody", 0)
        for role in (Role.MEMBER, Role.OPERATOR):  # the second time changes the role
            store.add_member(connection, project_id, user_id, 0, role)
        rows = connection.execute(sqlalchemy.text("SELECT role FROM membership")).all()
        assert rows == [("operator",)]
        assert store.queue_priority_of(connection, project_id) is QueuePriority.HIGH
        assert store.queue_priority_of(connection, "of another issuer") is QueuePriority.MEDIUM
