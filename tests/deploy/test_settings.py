"""What deploy/ sets are settings that exist, with values that they take."""

import re

import pytest
from deployments import DEPLOY, SETTINGS, STARTED, Started, image_environment

#: Beside the settings: those of commands, and of libraries that read their own.
OTHERS = {"TWEEZER_TOKEN"}

FIELDS = {name.upper() for settings in SETTINGS.values() for name in settings.model_fields}


def started_as(name: str) -> list[Started]:
    return [each for each in STARTED if each.command == ("serve", name)]


def test_every_variable_in_deploy_is_a_setting() -> None:
    named = {
        variable
        for file in DEPLOY.rglob("*")
        if file.is_file()
        for variable in re.findall(r"\bTWEEZER_[A-Z0-9_]*[A-Z0-9]\b", file.read_text())
    }
    # The name of a port that Kubernetes sets is also one: that is what the comment there says.
    assert "TWEEZER_BATCH_DATABASE_URL" in named
    unknown = {name for name in named - OTHERS if name.removeprefix("TWEEZER_") not in FIELDS}
    assert unknown <= {"TWEEZER_MTLS"}  # all that begin so


def test_the_settings_take_the_values(
    started: Started, no_variables: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in started.environment.items():
        monkeypatch.setenv(name, value)
    for settings in SETTINGS.values() if started.command[0] != "serve" else ():
        settings()
    if started.command[0] == "serve":
        SETTINGS[started.command[1]]()


@pytest.mark.parametrize("name", SETTINGS)
def test_every_process_is_started_by_each_means(name: str) -> None:
    means = {each.origin.split()[0].split("-")[0] for each in started_as(name)}
    assert means == {"tweezer", "compose", "kubernetes"}


def test_the_image_listens_where_the_settings_do_but_on_all_addresses() -> None:
    listening = {
        name.removeprefix("TWEEZER_").lower(): value
        for name, value in image_environment().items()
        if name.endswith("_LISTEN")
    }
    assert len(listening) == 5
    for name, address in listening.items():
        (settings,) = [each for each in SETTINGS.values() if name in each.model_fields]
        default = settings.model_fields[name].default
        assert address == default.replace("127.0.0.1", "0.0.0.0")


@pytest.mark.parametrize(
    ("process", "secret"),
    [
        ("execution", "TWEEZER_BATCH_DATABASE_URL"),
        ("execution", "TWEEZER_JOB_DATABASE_URL"),
        ("execution", "AWS_SECRET_ACCESS_KEY"),
        ("gateway", "TWEEZER_BATCH_DATABASE_URL"),
        ("gateway", "TWEEZER_SERVICE_KEY"),
        ("batch", "TWEEZER_JOB_DATABASE_URL"),
    ],
)
def test_no_process_is_given_what_it_does_not_need(process: str, secret: str) -> None:
    given = [each for each in started_as(process) if secret in each.environment]
    # On one machine of systemd, batch and job are the same user and share a file of secrets;
    # in Compose, they share one password of the database.
    assert [each.origin for each in given if process != "batch"] == []
    assert not any(each.origin.startswith("kubernetes") for each in given)
