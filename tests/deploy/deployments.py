"""What the files in deploy/ say, as data."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic_settings import BaseSettings

from tweezer.batch.settings import BatchSettings
from tweezer.execution.settings import ExecutionSettings
from tweezer.gateway.settings import GatewaySettings
from tweezer.job.settings import JobSettings

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"

SETTINGS: Mapping[str, type[BaseSettings]] = {
    "batch": BatchSettings,
    "job": JobSettings,
    "execution": ExecutionSettings,
    "gateway": GatewaySettings,
}

#: What nobody writes into a file that others can read; these stand for it.
PLACEHOLDERS = {
    "POSTGRES_PASSWORD": "secret",
    "TWEEZER_SERVICE_KEY": "k" * 64,
}


@dataclass(frozen=True)
class Started:
    """A process as a file in deploy/ starts it."""

    origin: str
    command: tuple[str, ...]
    environment: dict[str, str]

    @property
    def name(self) -> str:
        return f"{self.origin}: {' '.join(self.command)}"


def lines_of_environment(text: str) -> dict[str, str]:
    """Returns what an environment file sets, with what it only offers in a comment."""
    return dict(re.findall(r"^#?([A-Z][A-Z0-9_]+)=(.*)$", text, re.MULTILINE))


def image_environment() -> dict[str, str]:
    text = (DEPLOY / "Containerfile").read_text().replace("\\\n", " ")
    (line,) = re.findall(r"^ENV (PATH=/opt/tweezer.*)$", text, re.MULTILINE)
    return dict(re.findall(r"([A-Z_]+)=(\S+)", line))


def of_systemd() -> Iterator[Started]:
    shared = lines_of_environment((DEPLOY / "systemd" / "tweezer.env").read_text())
    secret = lines_of_environment((DEPLOY / "systemd" / "secrets.env").read_text())
    for unit in sorted((DEPLOY / "systemd").glob("*.service")):
        text = unit.read_text()
        (command,) = re.findall(r"^ExecStart=/opt/tweezer/bin/tweezer (.+)$", text, re.MULTILINE)
        own = dict(re.findall(r"^Environment=([A-Z0-9_]+)=(.*)$", text, re.MULTILINE))
        knows_secrets = "/etc/tweezer/secrets.env" in text
        environment = shared | (secret if knows_secrets else {}) | own
        yield Started(unit.name, tuple(command.split()), environment)


def of_compose() -> Iterator[Started]:
    services = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text())["services"]
    for name, service in services.items():
        if service["image"].startswith("tweezer:"):
            given = {key: interpolated(value) for key, value in service["environment"].items()}
            command = tuple(service["command"])
            yield Started(f"compose {name}", command, image_environment() | given)


def interpolated(value: str) -> str:
    return re.sub(r"\$\{(\w+):\?\}", lambda match: PLACEHOLDERS[match[1]], value)


def manifests() -> dict[str, list[dict[str, Any]]]:
    """Returns the objects of each file for Kubernetes."""
    files = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
    return {file.name: list(yaml.safe_load_all(file.read_text())) for file in files}


def objects(kind: str) -> list[dict[str, Any]]:
    return [each for file in manifests().values() for each in file if each["kind"] == kind]


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    for each in (*objects("Deployment"), *objects("Job")):
        yield each["metadata"]["name"], each["spec"]["template"]["spec"]


def secrets() -> dict[tuple[str, str], str]:
    return {
        (each["metadata"]["name"], key): value
        for each in objects("Secret")
        for key, value in each["stringData"].items()
    }


def of_kubernetes() -> Iterator[Started]:
    (config,) = objects("ConfigMap")
    known = secrets()
    for name, pod in pods():
        (container,) = pod["containers"]
        environment = image_environment() | config["data"]
        for variable in container.get("env", []):
            source = variable.get("valueFrom", {})
            if "secretKeyRef" in source:
                reference = source["secretKeyRef"]
                environment[variable["name"]] = known[reference["name"], reference["key"]]
            else:
                environment[variable["name"]] = variable.get("value", "from the pod")
        yield Started(f"kubernetes {name}", tuple(container["args"]), environment)


STARTED = [*of_systemd(), *of_compose(), *of_kubernetes()]
