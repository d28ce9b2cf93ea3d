"""`tweezer backup` copies what is needed to start again, in whole or not at all."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tweezer.cli.backup import BackupFailed, copy_data_folder
from tweezer.cli.main import app
from tweezer.database.sqlite import create_sqlite_engine


@pytest.fixture(autouse=True)
def no_urls(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BATCH", "IDENTITY", "JOB"):
        monkeypatch.delenv(f"TWEEZER_{name}_DATABASE_URL", raising=False)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A data folder as a stack that runs has it."""
    folder = tmp_path / "data"
    files = {
        "keys/service.key": "key",
        "results/p/b/j.json": "{}",
        "connection.json": "{}",
        "audit.log": "line\n",
        "tweezer.lock": "17",
        "endpoints.json": "{}",
        "endpoints.17": "{}",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    engines = [create_sqlite_engine(folder / f"{name}.db") for name in ("batch", "identity", "job")]
    connections = [engine.connect() for engine in engines]
    for connection in connections:
        connection.exec_driver_sql("CREATE TABLE entry (number INTEGER)")
        connection.commit()
    assert (folder / "job.db-wal").exists()
    yield folder
    for connection in connections:
        connection.close()


def names(folder: Path) -> set[str]:
    files = (file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix() for file in files}


DATABASES = {"batch.db", "identity.db", "job.db"}
OTHERS = {"keys/service.key", "connection.json", "audit.log"}
RESULTS = {"results/p/b/j.json"}


def test_it_copies_all_but_what_says_that_something_runs(folder: Path, tmp_path: Path) -> None:
    copy_data_folder(folder, tmp_path / "copy", with_results=True)
    assert names(tmp_path / "copy") == DATABASES | OTHERS | RESULTS
    assert (tmp_path / "copy").stat().st_mode & 0o777 == 0o700


def test_it_can_leave_the_results(folder: Path, tmp_path: Path) -> None:
    copy_data_folder(folder, tmp_path / "deep" / "copy", with_results=False)
    assert names(tmp_path / "deep" / "copy") == DATABASES | OTHERS


def test_a_database_elsewhere_comes_to_where_a_start_looks_for_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere" / "jobs.sqlite"
    create_sqlite_engine(elsewhere).connect().close()
    monkeypatch.setenv("TWEEZER_JOB_DATABASE_URL", f"sqlite:///{elsewhere}")
    copy_data_folder(folder, tmp_path / "copy", with_results=True)
    assert "job.db" in names(tmp_path / "copy")


@pytest.mark.parametrize(
    ("broken", "reason"),
    [("job.db", "there is no database"), ("results/p/b/j.json", "cannot be copied")],
)
def test_half_a_copy_is_none(
    folder: Path, tmp_path: Path, broken: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / broken).unlink()
    if broken != "job.db":
        (folder / broken).symlink_to(folder / broken)  # nobody can read it
    with pytest.raises(BackupFailed, match=reason):
        copy_data_folder(folder, tmp_path / "copy", with_results=True)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_what_is_there_stays(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    result = CliRunner().invoke(
        app, ["backup", str(tmp_path / "copy"), "--data-dir", str(folder)], env={"COLUMNS": "200"}
    )
    assert result.exit_code == 1
    assert "is there already" in result.stderr
    assert names(tmp_path / "copy") == set()


def test_a_server_of_databases_is_not_copied(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWEEZER_JOB_DATABASE_URL", "postgresql://u:secret@h/d")
    with pytest.raises(BackupFailed, match="tools of PostgreSQL"):
        copy_data_folder(folder, tmp_path / "copy", with_results=True)
