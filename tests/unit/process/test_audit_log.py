"""The audit log, when its file cannot be written."""

import subprocess
import sys
from pathlib import Path

#: In a process of its own: the log is set up once in a process, and other tests have theirs.
PROGRAM = """
import sys
from pathlib import Path

from tweezer.process.audit_log import record
from tweezer.process.logs import configure_logging
from tweezer.process.settings import ProcessSettings

configure_logging("batch", ProcessSettings(data_dir=Path(sys.argv[1]), log_format="json"))
record("batch cancelled", batch_id="b-1")
"""


def test_what_the_file_does_not_take_is_told_to_the_operator(tmp_path: Path) -> None:
    (tmp_path / "audit.log").symlink_to("/dev/full")  # every write fails: no space left
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], check=True, capture_output=True, text=True
    )
    (line,) = ran.stderr.splitlines()
    assert "the audit log cannot be written" in line
    assert "No space left on device" in line
    assert "b-1" in line
