"""`tweezer keys make` makes what every process of an installation needs."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from tweezer.cli.main import app
from tweezer.identity.bootstrap import read_first_login
from tweezer.identity.settings import IdentitySettings
from tweezer.job.settings import JobSettings


@pytest.fixture(autouse=True)
def no_files_given(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SIGNING", "SERVICE", "WEBHOOK", "RESULT_TICKET"):
        monkeypatch.delenv(f"TWEEZER_{name}_KEY_FILE", raising=False)


def make(folder: Path) -> dict[str, bytes]:
    result = CliRunner().invoke(app, ["keys", "make", str(folder)])
    assert result.exit_code == 0, result.output
    files = (file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


def test_the_keys_are_where_processes_look_for_them(tmp_path: Path) -> None:
    made = make(tmp_path / "new")
    identity = IdentitySettings(data_dir=tmp_path / "new")
    job = JobSettings(data_dir=tmp_path / "new")
    expected = {
        identity.signing_key_file,
        identity.jwks_file,
        identity.connection_file,
        job.service_key_file,
        job.webhook_key_file,
        job.result_ticket_key_file,
    }
    assert {tmp_path / "new" / name for name in made} == expected
    login = read_first_login(identity.connection_file)
    assert login is not None
    assert len(login.password) > 20


def test_only_the_public_keys_can_be_read_by_others(tmp_path: Path) -> None:
    make(tmp_path / "new")
    readable = {
        file.name
        for file in (tmp_path / "new").rglob("*")
        if file.is_file() and file.stat().st_mode & 0o077
    }
    assert readable == {"jwks.json"}
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700


def test_keys_that_are_there_stay(tmp_path: Path) -> None:
    first = make(tmp_path)
    (tmp_path / "keys" / "webhooks.key").unlink()
    second = make(tmp_path)
    changed = {name for name in first if first[name] != second[name]}
    assert changed == {"keys/webhooks.key"}


@pytest.mark.parametrize("name", ["TWEEZER_SIGNING_KEY_FILE", "TWEEZER_JWKS_FILE"])
def test_nothing_is_made_outside_of_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, str(tmp_path / "running" / "file"))
    result = CliRunner().invoke(app, ["keys", "make", str(tmp_path / "new")])
    assert result.exit_code == 1
    assert name in result.output
    assert list(tmp_path.iterdir()) == []
