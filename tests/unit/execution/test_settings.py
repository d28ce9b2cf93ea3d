"""Settings of the execution service."""

import math
import os
from typing import Any

import pytest
from pydantic import ValidationError

from tweezer.execution.emulators.registry import EMULATORS
from tweezer.execution.settings import ExecutionSettings


def test_defaults_fit_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("TWEEZER_")]:
        monkeypatch.delenv(name)
    settings = ExecutionSettings()
    assert settings.execution_workers == len(os.sched_getaffinity(0))
    assert settings.execution_device_types == tuple(EMULATORS)
    assert settings.execution_worker_memory_bytes is not None
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert settings.execution_worker_memory_bytes * settings.execution_workers < machine
    assert str(os.getpid()) in settings.execution_name


def test_limits_are_set_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWEEZER_EXECUTION_LIMITS__MAX_ATOMS", "7")
    monkeypatch.setenv("TWEEZER_EXECUTION_WORKERS", "3")
    settings = ExecutionSettings()
    assert settings.execution_limits.max_atoms == 7
    assert settings.execution_limits.max_shots == 1_000_000
    assert settings.execution_workers == 3


def test_workers_share_the_memory() -> None:
    one, four = (ExecutionSettings(execution_workers=n) for n in (1, 4))
    assert one.execution_worker_memory_bytes is not None
    assert four.execution_worker_memory_bytes == one.execution_worker_memory_bytes // 4


def test_time_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWEEZER_JOB_TIME_LIMIT_S", "inf")
    monkeypatch.setenv("TWEEZER_JOB_TIME_LIMITS", '{"EMU_FREE": 600}')
    settings = ExecutionSettings()
    assert settings.job_time_limit_s == math.inf
    assert settings.job_time_limits == {"EMU_FREE": 600.0}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"execution_device_types": ("EMU_XYZ",)}, "there is no emulator for EMU_XYZ"),
        ({"max_message_bytes": 2**25}, "does not fit into max_message_bytes"),
        ({"lease_duration_s": 0.5}, "at most half of lease_duration_s"),
        ({"job_time_limits": {"EMU_XYZ": 1}}, "there is no emulator for EMU_XYZ"),
        ({"job_time_limits": {"EMU_FREE": 0}}, "greater than 0"),
        ({"execution_workers": 0}, "greater than or equal to 1"),
    ],
)
def test_settings_that_cannot_work(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        ExecutionSettings(**fields)
