"""What the audit makes of the answers of pip-audit, which needs the internet."""

import json
import sys
from pathlib import Path
from typing import Any

import audit
import pytest

FLAW = {"name": "left", "version": "1.0", "vulns": [{"id": "PYSEC-1"}]}
SOUND = {"name": "right", "version": "2.0", "vulns": []}
UNKNOWN = {"name": "ours", "skip_reason": "not found"}


def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: Any, *options: str) -> int:
    answer = tmp_path / "answer"
    answer.write_text(said if isinstance(said, str) else json.dumps({"dependencies": said}))
    program = f"print(open({str(answer)!r}).read())"
    monkeypatch.setattr(audit, "_AUDIT", (sys.executable, "-c", program))
    monkeypatch.setattr(sys, "argv", ["audit.py", "installed", *options])
    return audit.main()


def test_a_vulnerability_fails(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, tmp_path, [FLAW, SOUND]) == 1
    assert "left 1.0: PYSEC-1" in capsys.readouterr().out
    monkeypatch.setattr(audit, "EXCEPTIONS", {"PYSEC-1": "nobody calls it"})
    assert run(monkeypatch, tmp_path, [FLAW, SOUND]) == 0


def test_what_cannot_be_looked_up_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, tmp_path, [SOUND, UNKNOWN]) == 0
    assert "1 of 2 packages looked up" in capsys.readouterr().out
    assert run(monkeypatch, tmp_path, [SOUND, UNKNOWN], "--require") == 1
    assert run(monkeypatch, tmp_path, "no network") == 0
    assert "nothing could be looked up" in capsys.readouterr().err
    assert run(monkeypatch, tmp_path, "no network", "--require") == 1
