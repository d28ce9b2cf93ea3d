"""Checks the files in deploy/ with the linters of what reads them.

systemd and Prometheus bring their own, which are used where they are installed.
"""

import shutil
import subprocess  # nosec B404 # the commands below are all that is run
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

DEPLOY: Final = Path(__file__).resolve().parents[1] / "deploy"
BIN: Final = Path(sys.executable).parent

#: Not of Kubernetes itself, so that there is no schema of it.
KUSTOMIZATION: Final = "kustomization.yaml"


def main() -> int:
    """Runs the linters and returns an exit code."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor() as pool:
        outputs = list(pool.map(_complaints, _commands(Path(folder))))
    for output in filter(None, outputs):
        print(output, file=sys.stderr)
    return 1 if any(outputs) else 0


def _commands(folder: Path) -> list[list[str]]:
    manifests = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
    commands = [
        [str(BIN / "hadolint"), str(DEPLOY / "Containerfile")],
        [
            str(BIN / "check-jsonschema"),
            *("--builtin-schema", "vendor.compose-spec"),
            str(DEPLOY / "compose" / "compose.yaml"),
        ],
        [
            str(BIN / "kubernetes-validate"),
            *("--strict", "--quiet"),
            *(str(file) for file in manifests if file.name != KUSTOMIZATION),
        ],
    ]
    if shutil.which("systemd-analyze"):
        commands.append(["systemd-analyze", "verify", "--man=no", *_units(folder)])
    if shutil.which("promtool"):
        prometheus = DEPLOY / "prometheus"
        commands.append(["promtool", "check", "config", str(prometheus / "scrape.yaml")])
        commands.append(["promtool", "test", "rules", str(prometheus / "rules.test.yaml")])
    return commands


def _units(folder: Path) -> list[str]:
    """Copies the units with a program that is there: the check looks for it."""
    copies = []
    for pattern in ("*.service", "*.target"):
        for unit in sorted((DEPLOY / "systemd").glob(pattern)):
            copy = folder / unit.name
            copy.write_text(unit.read_text().replace("/opt/tweezer/bin/tweezer", "/bin/true"))
            copies.append(str(copy))
    return copies


def _complaints(command: list[str]) -> str | None:
    done = subprocess.run(command, capture_output=True, text=True)  # nosec B603
    said = (done.stdout + done.stderr).strip()
    if command[0] == "systemd-analyze":
        # It tells of a wrong value and then says that all is well; and it may tell of units that
        # are not ours.
        said = "\n".join(line for line in said.splitlines() if _names_one(line, command))
    elif done.returncode == 0:
        return None
    return f"{' '.join(command[:2])}: {said or 'failed'}" if said or done.returncode else None


def _names_one(line: str, files: list[str]) -> bool:
    return any(file in line or Path(file).name in line for file in files)


if __name__ == "__main__":
    sys.exit(main())
