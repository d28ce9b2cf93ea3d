import os
import subprocess
import sys

import pytest

from tweezer.cli import data_lock
from tweezer.cli.data_lock import DataFolderBusy, hold, is_held


def test_the_folder_is_held_for_the_body_and_made_if_it_is_missing(tmp_path):
    folder = tmp_path / "new"
    assert not is_held(folder)
    with hold(folder):
        assert is_held(folder)
    assert not is_held(folder)


def test_a_second_holder_is_told_who_holds_the_folder(tmp_path):
    with hold(tmp_path), pytest.raises(DataFolderBusy, match=rf"process {os.getpid()}\b"):
        hold(tmp_path).__enter__()


def test_a_refused_holder_does_not_erase_who_holds_the_folder(tmp_path):
    with hold(tmp_path):
        for _ in range(2):
            with pytest.raises(DataFolderBusy, match=rf"process {os.getpid()}\b"):
                hold(tmp_path).__enter__()


def test_processes_that_outlive_the_holder_keep_the_folder(tmp_path):
    with hold(tmp_path) as descriptor:
        child = subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=[descriptor])
    try:
        assert is_held(tmp_path)
        with pytest.raises(DataFolderBusy, match="earlier"):
            hold(tmp_path, patience=0.0).__enter__()
    finally:
        child.communicate()
    assert not is_held(tmp_path)


def test_the_next_holder_waits_for_processes_that_are_still_stopping(tmp_path, monkeypatch):
    with hold(tmp_path) as descriptor:
        child = subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=[descriptor])

    def end_child(_: float) -> None:
        child.communicate()

    monkeypatch.setattr(data_lock.time, "sleep", end_child)
    with hold(tmp_path):
        assert child.returncode == 0


def test_a_holder_that_is_killed_leaves_the_folder_free(tmp_path):
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from pathlib import Path; from tweezer.cli.data_lock import hold\n"
            "with hold(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()",
            str(tmp_path),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with holder:
        assert holder.stdout.readline() == b"held\n"
        assert is_held(tmp_path)
        holder.kill()
    assert not is_held(tmp_path)
    with hold(tmp_path, patience=0.0):
        pass
