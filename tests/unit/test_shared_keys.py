"""Keys that are given by a setting, and those that are made in the data folder."""

import os
import stat
from pathlib import Path

import pytest

from tweezer.job.settings import JobSettings
from tweezer.process.run import StartFailed
from tweezer.process.worker_environment import worker_environment
from tweezer.rpc.settings import RpcSettings

OLD, NEW = "o" * 40, "n" * 40


def test_a_key_is_made_where_none_is_given(tmp_path: Path) -> None:
    settings = RpcSettings(data_dir=tmp_path)
    (key,) = settings.service_keys.read()
    assert (tmp_path / "keys" / "service.key").read_text() == key
    assert settings.service_keys.read() == (key,)


def test_a_key_may_be_the_value_of_a_variable(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("TWEEZER_SERVICE_KEY", f"{NEW}\n{OLD}\n")
    settings = RpcSettings(data_dir=tmp_path)
    assert settings.service_keys.read() == (NEW, OLD)
    assert list(tmp_path.iterdir()) == []
    assert NEW not in repr(settings)


def test_a_key_may_be_a_file_that_is_not_ours(tmp_path: Path, monkeypatch) -> None:
    """As a store of secrets mounts it: read-only, in a folder that cannot be written."""
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    file = mounted / "the-key"
    file.write_text(f"{NEW} {OLD}")
    file.chmod(0o440)
    mounted.chmod(0o550)
    monkeypatch.setenv("TWEEZER_SERVICE_KEY_FILE", str(file))
    settings = RpcSettings(data_dir=tmp_path / "data")
    assert settings.service_keys.read() == (NEW, OLD)
    assert not (tmp_path / "data").exists()
    assert stat.S_IMODE(file.stat().st_mode) == 0o440


def test_a_given_file_is_never_made(tmp_path: Path) -> None:
    file = tmp_path / "no.key"
    with pytest.raises(
        StartFailed, match=r"no\.key, which TWEEZER_SERVICE_KEY_FILE names: No such"
    ):
        RpcSettings(data_dir=tmp_path, service_key_file=file).service_keys.read()
    assert not file.exists()


@pytest.mark.parametrize("text", ["", " \n", "hidden", f"{NEW}\nhidden"])
def test_what_is_no_key_is_refused_and_not_shown(tmp_path: Path, text: str) -> None:
    file = tmp_path / "key"
    file.write_text(text)
    for given in ({"service_key": text}, {"service_key_file": file}):
        with pytest.raises(StartFailed, match="must hold a key of at least 32") as refused:
            RpcSettings(data_dir=tmp_path, **given).service_keys.read()
        assert "hidden" not in str(refused.value)


def test_a_variable_and_a_file_are_one_too_many(tmp_path: Path) -> None:
    settings = RpcSettings(data_dir=tmp_path, service_key=NEW, service_key_file=tmp_path / "k")
    with pytest.raises(StartFailed, match="not both"):
        settings.service_keys.read()


def test_each_key_has_a_variable_of_its_own(tmp_path: Path, monkeypatch) -> None:
    names = ("SERVICE_KEY", "RESULT_TICKET_KEY", "WEBHOOK_KEY")
    for number, name in enumerate(names):
        monkeypatch.setenv(f"TWEEZER_{name}", str(number) * 32)
    settings = JobSettings(data_dir=tmp_path)
    found = [settings.service_keys, settings.result_ticket_keys, settings.webhook_keys]
    assert [key.read() for key in found] == [(str(number) * 32,) for number in range(3)]
    assert [key.setting for key in found] == [f"TWEEZER_{name}" for name in names]


def test_no_worker_gets_a_key(monkeypatch) -> None:
    names = [
        *("TWEEZER_SERVICE_KEY", "TWEEZER_SIGNING_KEY", "TWEEZER_RESULT_TICKET_KEY"),
        *("TWEEZER_WEBHOOK_KEY", "TWEEZER_SIGNING_KEY_FILE", "TWEEZER_RESULT_STORE_URL"),
        *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
    ]
    for name in names:
        monkeypatch.setenv(name, "hidden")
    assert "hidden" not in worker_environment(os.environ).values()
