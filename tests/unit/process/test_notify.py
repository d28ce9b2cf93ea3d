import os
import socket
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tweezer.process.notify import tell_ready


def listen(address: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(address)
    return listener


def test_it_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with listen(str(tmp_path / "notices")) as listener:
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notices"))
        tell_ready()
        assert listener.recv(100) == b"READY=1"
        # Processes that this one starts must not speak for it.
        assert "NOTIFY_SOCKET" not in os.environ
        tell_ready()
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.recv(100)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has names without a file")
def test_a_name_without_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"tweezer-test-{os.getpid()}"
    with listen(f"\0{name}") as listener:
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
        tell_ready()
        assert listener.recv(100) == b"READY=1"


def test_a_listener_that_is_gone_does_not_stop_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    with capture_logs() as logs:
        tell_ready()
    assert [entry["log_level"] for entry in logs] == ["warning"]
