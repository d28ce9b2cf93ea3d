"""Which engines the settings ask for."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from tweezer.execution.emulators.registry import EMULATORS
from tweezer.execution.engines.slurm_pool import _directives
from tweezer.execution.engines.slurm_resources import SlurmResources
from tweezer.execution.settings import ExecutionSettings
from tweezer.execution.stations import build_stations

MISSING = """
import sys
sys.modules[sys.argv[2]] = None
from tweezer.execution.settings import ExecutionSettings
from tweezer.execution.stations import build_stations
settings = ExecutionSettings(execution_engine=sys.argv[1], dask_address="tcp://127.0.0.1:1")
build_stations(settings)
"""


@pytest.mark.parametrize(
    ("engine", "module"), [("dask", "distributed"), ("slurm", "dask_jobqueue")]
)
def test_a_missing_library_is_named_with_the_extra(engine: str, module: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", MISSING, engine, module], capture_output=True, text=True
    )
    assert ended.returncode != 0
    sentence = (
        f"StartFailed: the engine `{engine}` needs {module}, which is not installed: "
        f"pip install 'tweezer[{engine}]'"
    )
    assert sentence in ended.stderr


def test_the_local_engine_needs_no_library_of_the_others() -> None:
    code = (
        "import sys; from tweezer.execution.settings import ExecutionSettings; "
        "from tweezer.execution import service; "
        "service.build_stations(ExecutionSettings()); "
        "print([m for m in ('dask', 'distributed', 'dask_jobqueue') if m in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_device_types_that_ask_for_the_same_share_their_workers(tmp_path: Path) -> None:
    settings = ExecutionSettings(
        data_dir=tmp_path,
        execution_engine="slurm",
        slurm_worker=SlurmResources(partition="cpu", max_workers=3),
        slurm_device_types={"FRESNEL": {"gpus": 1, "partition": "gpu"}},
    )
    first, second = sorted(build_stations(settings), key=lambda station: len(station.device_types))
    assert first.device_types == ("FRESNEL",)
    assert {*second.device_types} == EMULATORS.keys() - {"FRESNEL"}
    assert first.engine.capacity == second.engine.capacity == 3
    assert settings.slurm_resources_of("FRESNEL") == SlurmResources(
        gpus=1, partition="gpu", max_workers=3
    )


def test_dask_resources_make_kinds_of_workers_too() -> None:
    settings = ExecutionSettings(
        execution_engine="dask",
        dask_address="tcp://127.0.0.1:1",
        dask_resources={"EMU_FREE": {"GPU": 1.0}},
    )
    assert sorted(len(station.device_types) for station in build_stations(settings)) == [
        1,
        len(EMULATORS) - 1,
    ]


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"execution_engine": "dask"}, "needs dask_address"),
        ({"dask_address": "tls://host:1"}, "needs dask_tls_ca_file"),
        ({"dask_tls_ca_file": "ca.pem"}, "need each other"),
        ({"slurm_device_types": {"EMU_FREE": {"gpu": 1}}}, "a Slurm job has no gpu"),
        ({"slurm_device_types": {"EMU_FREE": {"min_workers": 99}}}, "more than max_workers"),
        ({"slurm_device_types": {"EMU_NONE": {}}}, "no emulator for EMU_NONE"),
        ({"dask_resources": {"EMU_NONE": {}}}, "no emulator for EMU_NONE"),
    ],
)
def test_settings_that_cannot_be(fields: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        ExecutionSettings(**fields)  # type: ignore[arg-type]


def test_settings_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWEEZER_SLURM_WORKER__MAX_WORKERS", "5")
    monkeypatch.setenv("TWEEZER_SLURM_WORKER__CORES", "2")
    monkeypatch.setenv("TWEEZER_SLURM_DEVICE_TYPES", json.dumps({"FRESNEL": {"cores": 8}}))
    settings = ExecutionSettings()
    assert settings.slurm_resources_of("EMU_FREE") == SlurmResources(cores=2, max_workers=5)
    assert settings.slurm_resources_of("FRESNEL") == SlurmResources(cores=8, max_workers=5)


def test_a_slurm_job_gets_no_more_of_the_environment_than_a_worker(tmp_path: Path) -> None:
    environment = {"PATH": "/bin", "HOME": "/root", "AWS_SECRET_ACCESS_KEY": "x", "PGPASSWORD": "y"}
    resources = SlurmResources(gpus=2, directives=("--constraint=a100",))
    assert _directives(resources, tmp_path, environment) == [
        "--export=HOME,PATH",
        f"--chdir={tmp_path}",
        "--no-requeue",
        "--gres=gpu:2",
        "--constraint=a100",
    ]
