"""The client before this one, with Pulser's former plugin, in an environment of its own."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

#: Installing takes minutes on a fresh machine.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

PINS = ("pasqal-cloud==0.22.0", "pulser-pasqal==0.24.0")
PROGRAM = Path(__file__).with_name("older_client_program.py")


@pytest.fixture(scope="session")
def older_python(request: pytest.FixtureRequest) -> Path:
    """The Python of an environment with the older client, kept in pytest's cache."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    folder = request.config.cache.mkdir(f"older-client-py{version}")
    python, stamp = folder / "venv" / "bin" / "python", folder / "installed"
    if not (python.exists() and stamp.exists() and stamp.read_text() == repr(PINS)):
        stamp.unlink(missing_ok=True)
        make = ("-m", "venv", "--clear", "--without-pip", str(folder / "venv"))
        # The pip of this environment, so that the index is the one that it is set up for.
        install = ("-m", "pip", "--python", str(python), "install", "--quiet", *PINS)
        for arguments in (make, install):
            answer = subprocess.run([sys.executable, *arguments], capture_output=True, text=True)
            assert answer.returncode == 0, answer.stderr
        stamp.write_text(repr(PINS))
    return python


@pytest.fixture(scope="module")
def seen(older_python: Path, stack: Any) -> Any:
    """What the program says that it has seen."""
    answer = subprocess.run(
        # Isolated: without what this environment says of the one that runs the tests.
        [older_python, "-I", PROGRAM, json.dumps(stack.facts)],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout)


def test_the_environment_has_the_older_versions(seen: Any) -> None:
    assert [
        f"{name}=={version}"
        for name, version in zip(("pasqal-cloud", "pulser-pasqal"), seen["versions"], strict=True)
    ] == list(PINS)


def test_projects_and_devices_are_found(seen: Any, stack: Any) -> None:
    assert stack.facts["project_id"] in seen["sdk"]["projects"]
    assert {"EMU_FREE", "FRESNEL", "FRESNEL_CAN1"} <= set(seen["devices"])


def test_batches_live_as_with_the_newer_client(seen: Any) -> None:
    sdk = seen["sdk"]
    assert (sdk["closed"], sdk["counts"]) == ("DONE", [5, 6])
    assert sdk["opened"] == ["DONE", False, [7, 8]]
    assert sdk["cancelled"] == "CANCELED"
    assert sdk["repeated"] == [True, 2]


def test_lists_are_filtered_and_paged(seen: Any) -> None:
    sdk = seen["sdk"]
    assert sdk["listed"] == [2, 1]
    assert sdk["jobs"] == 1
    assert sdk["job"] == ["DONE", 5]


def test_the_backends_of_pulser_run(seen: Any) -> None:
    assert seen["pulser"] == {
        "open batch": 1,
        "emulated": ["DONE", 10],
        "legacy": ["DONE", 11],
        "measured": ["DONE", 3],
        "ovh": ["DONE", 12],
    }
