import json
import subprocess
import sys

import pytest

from tweezer.cli import endpoints
from tweezer.cli.data_lock import hold
from tweezer.cli.endpoints import Endpoints


def tweezer(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from tweezer.cli.main import app; app()", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={"COLUMNS": "100", **environment},
    )


def test_help_does_not_import_what_takes_long():
    script = (
        "import sys\n"
        "from tweezer.cli.main import app\n"
        "app(['--help'], standalone_mode=False)\n"
        "heavy = {'pulser', 'grpc', 'sqlalchemy', 'httpx', 'numpy', 'pydantic'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    assert "connection" in answer.stdout


def test_connection_without_a_stack_says_what_to_do(tmp_path):
    answer = tweezer("connection", "--json", "--data-dir", str(tmp_path))
    assert (answer.returncode, answer.stdout) == (1, "")
    assert f"nothing runs on {tmp_path}" in answer.stderr


def test_connection_prints_every_fact_of_a_running_stack(tmp_path):
    account = {"username": "u@x", "password": "secret", "project_id": "p", "user_id": "i"}
    (tmp_path / "connection.json").write_text(json.dumps(account))
    with hold(tmp_path):
        endpoints.write(tmp_path, Endpoints("http://127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"))
        as_json = tweezer("connection", "--json", TWEEZER_DATA_DIR=str(tmp_path))
        as_text = tweezer("connection", "--data-dir", str(tmp_path))
    assert json.loads(as_json.stdout) == {
        "core": "http://127.0.0.1:1/core-fast",
        "account": "http://127.0.0.1:1/account",
        "token_endpoint": "http://127.0.0.1:1/oauth/token",
        "username": "u@x",
        "password": "secret",
        "project_id": "p",
        "grpc": {"batch": "127.0.0.1:2", "job": "127.0.0.1:3"},
    }
    for value in ("http://127.0.0.1:1/core-fast", "u@x", "secret", "127.0.0.1:3"):
        assert value in as_text.stdout


def test_connection_says_so_when_the_password_file_is_gone(tmp_path):
    with hold(tmp_path):
        endpoints.write(tmp_path, Endpoints("http://127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"))
        answer = tweezer("connection", "--data-dir", str(tmp_path))
    assert answer.returncode == 1
    assert "password" in answer.stderr


def test_demo_on_a_named_folder_without_a_stack_says_what_to_do(tmp_path):
    answer = tweezer("demo", "--data-dir", str(tmp_path))
    assert answer.returncode == 1
    assert f"nothing runs on {tmp_path}" in answer.stderr


def test_a_second_up_on_one_data_folder_is_refused(tmp_path):
    with hold(tmp_path):
        answer = tweezer("up", "--data-dir", str(tmp_path))
    assert answer.returncode == 1
    assert "another `tweezer up`" in answer.stderr
    assert "--data-dir" in answer.stderr


@pytest.mark.parametrize("port", ["-1", "65536", "http"])
def test_a_port_that_is_none_is_refused(port, tmp_path):
    assert tweezer("up", "--data-dir", str(tmp_path), "--port", port).returncode == 2


def test_serve_refuses_an_unknown_process():
    answer = tweezer("serve", "kitchen")
    assert answer.returncode == 2
    assert "kitchen" in answer.stderr
