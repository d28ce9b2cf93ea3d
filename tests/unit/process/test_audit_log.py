"""The audit log, when its file cannot be written."""

from pathlib import Path

import pytest

from tweezer.process.audit_log import record
from tweezer.process.logs import configure_logging
from tweezer.process.settings import ProcessSettings


def test_what_the_file_does_not_take_is_told_to_the_operator(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "audit.log").symlink_to("/dev/full")  # every write fails: no space left
    configure_logging("batch", ProcessSettings(data_dir=tmp_path, log_format="json"))
    record("batch cancelled", batch_id="b-1")
    (line,) = capfd.readouterr().err.splitlines()
    assert "the audit log cannot be written" in line
    assert "No space left on device" in line
    assert "b-1" in line
