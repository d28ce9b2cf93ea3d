"""What deploy/ runs are commands that exist."""

import re

import pytest
import yaml
from deployments import DEPLOY, Started
from typer.testing import CliRunner

from tweezer.cli.main import app
from tweezer.cli.serve import Process

#: Commands whose argument is the name of a process.
OF_PROCESSES = ("serve", "ready")


def check(words: tuple[str, ...]) -> None:
    if words[0] in OF_PROCESSES:
        assert words[1] in list(Process)
    result = CliRunner().invoke(app, [*words, "--help"])
    assert result.exit_code == 0, result.output


def test_the_command_exists(started: Started) -> None:
    check(started.command)


def test_commands_that_do_not_exist_are_noticed() -> None:
    with pytest.raises(AssertionError, match="No such command"):
        check(("db", "downgrade"))


def test_the_health_checks_are_commands() -> None:
    services = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text())["services"]
    tests = {
        name: service["healthcheck"]["test"]
        for name, service in services.items()
        if "tweezer" in service.get("healthcheck", {}).get("test", ())
    }
    assert tests == {name: ["CMD", "tweezer", "ready", name] for name in Process}
    check(("ready", "gateway"))


def test_the_image_runs_commands() -> None:
    text = (DEPLOY / "Containerfile").read_text()
    (default,) = re.findall(r"^CMD \[(.*)\]$", text, re.MULTILINE)
    check(tuple(re.findall(r'"([^"]+)"', default)))
    (health,) = re.findall(r"^    CMD \[(.*)\]$", text, re.MULTILINE)
    words = re.findall(r'"([^"]+)"', health)
    assert words[0] == "tweezer"
    check(tuple(words[1:]))
