"""The example in TypeScript: a client that is generated from the public protos."""

import json
import re
import runpy
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pulser import Sequence

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "typescript"

Run = Callable[..., subprocess.CompletedProcess[str]]

needs_node = pytest.mark.skipif(
    not (shutil.which("node") and shutil.which("npm")), reason="needs Node.js and npm"
)


@pytest.fixture(scope="module")
def example(run_command: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example, installed and generated in a copy that has nothing but what git keeps."""
    root = tmp_path_factory.mktemp("clone")
    shutil.copy(ROOT / "buf.yaml", root)
    shutil.copytree(ROOT / "protos", root / "protos", ignore=shutil.ignore_patterns("_generated"))
    made = shutil.ignore_patterns("node_modules", "dist", "generated")
    folder = shutil.copytree(EXAMPLE, root / "examples" / "typescript", ignore=made)
    for command in ("ci", "run generate"):
        answer = run_command("npm", "--prefix", str(folder), *command.split(), timeout=240)
        assert answer.returncode == 0, answer.stdout + answer.stderr
    return folder


@needs_node
@pytest.mark.slow
def test_the_types_of_the_generated_client_fit(example: Path, run_command: Run):
    answer = run_command("npm", "--prefix", str(example), "run", "check")
    assert answer.returncode == 0, answer.stdout + answer.stderr


@needs_node
@pytest.mark.slow
def test_the_client_prints_a_histogram_of_each_job(example: Path, stack: Any, run_command: Run):
    answer = run_command(
        "sh",
        "-c",
        'tweezer connection --json | npm --prefix "$0" start --silent',
        str(example),
        TWEEZER_DATA_DIR=str(stack.data_dir),
    )
    assert answer.returncode == 0, answer.stderr
    states, *jobs = answer.stdout.split("area ")
    assert states.splitlines()[-1] == "BATCH_STATUS_DONE: 3 of 3 jobs done"
    counters = [
        {bits: int(count) for bits, count in re.findall(r"^  ([01]{2}) +(\d+)", job, re.MULTILINE)}
        for job in jobs
    ]
    assert [sum(counter.values()) for counter in counters] == [500, 500, 500]
    _, entangled, back = counters
    assert entangled["01"] + entangled["10"] > 450  # one atom is excited, never both
    assert back["00"] > 450


@needs_node
@pytest.mark.slow
def test_the_client_says_why_it_was_refused(
    example: Path, stack: Any, run_command: Run, tmp_path: Path
):
    facts = tmp_path / "connection.json"
    facts.write_text(json.dumps(stack.facts | {"password": "guess"}))
    answer = run_command("npm", "--prefix", str(example), "start", "--silent", "--", str(facts))
    assert answer.returncode == 1
    assert answer.stdout == ""
    assert answer.stderr.startswith("16 UNAUTHENTICATED: ")


def test_the_sequence_is_the_one_that_the_script_builds():
    built: Sequence[Any] = runpy.run_path(str(EXAMPLE / "bell_pair.py"))["sequence"]()
    kept = Sequence.from_abstract_repr((EXAMPLE / "bell_pair.json").read_text())
    # Read and written again: another release of Pulser may write the same sequence differently.
    assert json.loads(kept.to_abstract_repr()) == json.loads(built.to_abstract_repr())


def test_the_lock_file_names_checksums_and_no_registry():
    lock = json.loads((EXAMPLE / "package-lock.json").read_text())
    installed = {name: facts for name, facts in lock["packages"].items() if name}
    assert installed
    assert {name for name, facts in installed.items() if "integrity" not in facts} == set()
    assert {name for name, facts in installed.items() if "resolved" in facts} == set()
