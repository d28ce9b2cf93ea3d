import threading
from pathlib import Path

import pytest

from tweezer.rpc.service_key import ensure_service_key, read_service_key


def test_processes_that_start_together_read_the_same_key(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "service.key"
    barrier, keys = threading.Barrier(8), []

    def start() -> None:
        barrier.wait()
        ensure_service_key(path)
        keys.append(read_service_key(path))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 8
    assert len(set(keys)) == 1
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["service.key"]


def test_a_file_that_holds_no_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "service.key"
    path.write_text("short")
    with pytest.raises(ValueError, match="holds no service key"):
        read_service_key(path)
