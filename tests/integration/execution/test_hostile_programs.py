"""A worker that tries: what code in it would find of the service's credentials and files."""

import ast
import asyncio
import json
import os
import pickle
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tweezer.batch.checks.facts import Refused
from tweezer.batch.checks.workers import CheckWorkers, WorkerLimits
from tweezer.execution.engines.local import LocalEngine

ROOT = Path(__file__).parents[3]

SECRETS = {
    "TWEEZER_BATCH_DATABASE_URL": "postgresql://u:hidden-1@db/batch",
    "PGPASSWORD": "hidden-2",
    "AWS_SECRET_ACCESS_KEY": "hidden-3",
    "SSH_AUTH_SOCK": "/tmp/hidden-4",
}

LIMITS: dict[str, dict[str, int]] = {
    "sequence": {"max_variables": 10, "max_values": 10},
    "configuration": {"max_shots": 10},
}

linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@pytest.fixture
def careless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process has credentials in its environment and a database and a key open.

    Even inheritable, as a library might leave them.
    """
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    database = sqlite3.connect(tmp_path / "open.db")
    database.execute("CREATE TABLE t (c)")
    key = os.open(tmp_path / "open.key", os.O_RDWR | os.O_CREAT)
    for number in os.listdir("/proc/self/fd"):
        if os.path.realpath(f"/proc/self/fd/{number}").startswith(str(tmp_path)):
            os.set_inheritable(int(number), True)
    yield
    os.close(key)
    database.close()


@linux
async def test_a_worker_finds_no_credential_and_no_open_file(
    careless: None, probes: dict[str, str], make_task: Any, tmp_path: Path
) -> None:
    before = dict(os.environ)
    async with LocalEngine(1, emulators={"LOOK": "hostile_probes:look"}) as engine:
        async with asyncio.timeout(30):
            found = json.loads(await engine.run(make_task("s", "LOOK"), lambda _: None))
    assert "hidden" not in json.dumps(found)
    assert not {name for name in found["environment"] if name.startswith("TWEEZER_")}
    assert "PATH" in found["environment"]
    assert not [file for file in found["files"] if str(tmp_path) in file]
    assert found["folder"] == "/"
    assert found["dump"] == [0, 0]
    assert found["most_files"][1] <= 256
    # The service itself keeps what it was started with.
    assert {name: os.environ.get(name) for name in SECRETS} == SECRETS
    assert before.items() <= os.environ.items()


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self._canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self._canary}",)


def hostile(canary: Path) -> Iterator[str]:
    """Yields texts that run a command in whoever unpickles or evaluates them."""
    command = f"__import__('os').system('touch {canary}')"
    yield pickle.dumps(Bomb(canary), 0).decode()
    yield command
    yield json.dumps({"py/reduce": [{"py/function": "os.system"}, {"py/tuple": [command]}]})
    yield f"!!python/object/apply:os.system ['touch {canary}']"
    yield json.dumps({"__class__": "System", "__module__": "os", "observables": [command]})


def test_the_bomb_would_go_off(tmp_path: Path) -> None:
    pickle.loads(next(hostile(tmp_path / "canary")).encode())
    assert (tmp_path / "canary").exists()


@linux
async def test_a_checking_process_has_none_either(careless: None, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    workers = CheckWorkers(1, WorkerLimits(2**30, 10), 10)
    workers.start()
    for text in hostile(canary):
        for check in ("sequence", "configuration"):
            with pytest.raises(Refused):
                await workers.ask(check, text=text, **LIMITS[check])
    assert not canary.exists()
    try:
        (pid,) = workers.process_ids
        folder = Path(f"/proc/{pid}")
        started_with = (folder / "environ").read_text()
        files = [os.readlink(entry) for entry in (folder / "fd").iterdir()]
        limits = (folder / "limits").read_text()
        command = (folder / "cmdline").read_text()
        place = os.readlink(folder / "cwd")
    finally:
        workers.close()
    assert "hidden" not in started_with + command
    assert "TWEEZER_" not in started_with
    assert not [file for file in files if str(tmp_path) in file]
    assert place == "/"
    assert "Max core file size        0                    0 " in limits


def test_nothing_is_unpickled_or_evaluated() -> None:
    """One place unpickles: a worker, what the engine that started it has pickled itself."""
    forbidden = {"eval", "exec", "compile", "__import__"}
    modules = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "jsonpickle", "joblib", "yaml"}
    found = set()
    for folder in ("services/tweezer", "gateway/tweezer"):
        for file in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                names: set[str] = set()
                if isinstance(node, ast.Import):
                    names = {alias.name.partition(".")[0] for alias in node.names} & modules
                elif isinstance(node, ast.ImportFrom):
                    names = {(node.module or "").partition(".")[0]} & modules
                elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                    names = {node.func.id} & forbidden
                elif isinstance(node, ast.Attribute) and node.attr in ("loads", "load"):
                    names = {f"{ast.unparse(node)}"} & {f"{m}.{node.attr}" for m in modules}
                found |= {(str(file.relative_to(ROOT)), name) for name in names}
    engines = "services/tweezer/execution/engines"
    assert found == {
        (f"{engines}/worker.py", "pickle"),
        (f"{engines}/worker.py", "pickle.loads"),
        (f"{engines}/worker_process.py", "pickle"),
    }
