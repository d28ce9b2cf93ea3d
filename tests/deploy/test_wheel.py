"""What `pip install` brings is whole: everything runs from the wheel, without the repository."""

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest
from deployments import ROOT

pytestmark = pytest.mark.slow

#: The folders whose content is the package, as pyproject.toml names them.
IMPORT_ROOTS = ("services", "gateway", "protos/_generated")


def run(*command: object, **environment: str) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, **environment},
        cwd="/",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", folder, ROOT)
    (built,) = folder.glob("tweezer-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel; returns its programs' folder."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder)
    pip = (sys.executable, "-m", "pip", "--python", folder / "bin" / "python")
    run(*pip, "install", "--quiet", "--no-deps", wheel)
    return folder / "bin"


def test_the_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    held = set(zipfile.ZipFile(wheel).namelist())
    files = {
        file.relative_to(ROOT / root).as_posix()
        for root in IMPORT_ROOTS
        for file in (ROOT / root / "tweezer").rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert {"tweezer/batch/devices/EMU_FREE.json", "tweezer/v1/py.typed"} <= files
    # A file that came or went while the wheel was built is of no interest here.
    assert files - held == set()
    assert {name.split("/")[0] for name in held} == {
        "tweezer",
        f"{wheel.stem.split('-py')[0]}.dist-info",
    }


def test_everything_runs_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    # Other libraries are those of the tests. Python looks for the .pth file of the editable
    # installation, which leads to the repository, in its own folders only.
    environment = {
        "PYTHONPATH": sysconfig.get_path("purelib"),
        "TWEEZER_DATA_DIR": str(tmp_path / "data"),
    }
    where = run(
        installed / "python", "-c", "import tweezer.batch as b; print(b.__file__)", **environment
    )
    assert Path(where).is_relative_to(installed.parent)
    assert "tweezer 0.1.0" in run(installed / "tweezer", "--version", **environment)
    run(installed / "tweezer", "db", "upgrade", **environment)
    shown = run(installed / "tweezer", "demo", "--temporary", **environment)
    assert ": 9 jobs" in shown
