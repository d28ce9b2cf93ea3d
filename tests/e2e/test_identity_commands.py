"""`tweezer users`, `tweezer projects` and `tweezer keys` against a running stack."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.slow

TWEEZER = str(Path(sys.executable).parent / "tweezer")


def tweezer(stack: Any, *words: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [TWEEZER, *words, "--data-dir", str(stack.data_dir)],
        input=typed,
        capture_output=True,
        text=True,
        timeout=120,
    )


def answer(stack: Any, *words: str, typed: str = "") -> str:
    done = tweezer(stack, *words, typed=typed)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def log_in(stack: Any, username: str, password: str) -> httpx.Response:
    fields = {"grant_type": "password", "username": username, "password": password}
    return httpx.post(stack.facts["token_endpoint"], data=fields, trust_env=False)


def test_a_user_comes_works_and_goes(stack: Any):
    answer(stack, "users", "add", "Ada@Example.org", typed="a first word\n")
    project = answer(stack, "projects", "add", "ions", "--priority", "low").rpartition(" ")[2]
    answer(stack, "projects", "add-member", project, "ada@example.org")
    assert "high" in answer(stack, "projects", "set-priority", project, "high")
    assert f"{project}  high      ions" in answer(stack, "projects", "list").splitlines()
    assert "ada@example.org  ions (member)" in answer(stack, "users", "list")
    token = log_in(stack, "ada@example.org", "a first word").raise_for_status().json()
    with stack.api(token["access_token"]) as api:
        (mine,) = api.get("/api/v1/projects").raise_for_status().json()["data"]
        assert mine["id"] == project
    answer(stack, "users", "password", "ada@example.org", typed="a second word\n")
    assert log_in(stack, "ada@example.org", "a first word").status_code == 403
    assert log_in(stack, "ada@example.org", "a second word").status_code == 200
    answer(stack, "projects", "remove-member", project, "ada@example.org")
    answer(stack, "users", "remove", "ada@example.org")
    assert log_in(stack, "ada@example.org", "a second word").status_code == 403


def test_mistakes_are_explained(stack: Any):
    for words, typed, reason in (
        (("users", "add", "eve"), "", "no password: give it on standard input"),
        (("users", "add", "eve"), "short\n", "password: must have 8 to 1024 characters"),
        (("users", "remove", "nobody"), "", "there is no such user"),
        (("projects", "add-member", "none", stack.facts["username"]), "", "no such project"),
        (("users", "remove", stack.facts["username"]), "", "nobody would be an operator"),
    ):
        done = tweezer(stack, *words, typed=typed)
        assert done.returncode == 1, words
        assert reason in done.stderr


def test_keys_are_rotated_while_everything_runs(stack: Any):
    before = stack.token()
    answer(stack, "keys", "rotate")
    with stack.api(before) as old, stack.api() as new:
        for api in (old, new):
            # Both services check tokens for themselves.
            assert api.get("/api/v1/batches").status_code == 200
            assert api.get("/api/v2/jobs").status_code == 200
