"""Compares Tweezer's rate of requests with bare FastAPI handlers that give the same answers.

python -m benchmarks.requests [--rounds 3] [--seconds 4] [--clients 32] [--only get-batch,...]

A round loads, one after the other: a handler that answers from memory, one that reads and writes
the same tables in its own process, and Tweezer, through its gateway and with a token. Rounds
repeat, so that a busy machine troubles all alike; the ratios are taken per round. Then each request
comes at half of Tweezer's highest rate, for the times of its answers.

The device is paused, so that no job runs meanwhile.
"""

import argparse
import json
import os
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.http_load import Load, Target, at_rate, full, request
from benchmarks.local_stack import LocalStack, cpu_seconds, local_stack
from benchmarks.throughput import program

#: Ratios to the bare handler that are claimed; for 100 jobs, jobs per second.
TARGETS: Final = {"get-batch": 0.20, "list-jobs": 0.12, "post-1": 0.20, "post-100": 12_000.0}
BATCHES: Final = 100
_APP: Final = "benchmarks.bare_handlers:create_app"


@dataclass(frozen=True, slots=True)
class Case:
    """One request, on its three servers."""

    name: str
    memory: Target
    database: Target
    tweezer: Target
    jobs: int = 0


class Bare:
    """The process with the bare handlers."""

    def __init__(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.process = subprocess.Popen(
            [
                *(
                    sys.executable,
                    "-m",
                    "uvicorn",
                    "--factory",
                    "benchmarks.bare_handlers:create_app",
                ),
                *("--port", str(self.port), "--no-access-log", "--log-level", "warning"),
            ],
            env={**os.environ, "BARE_FOLDER": str(folder)},
        )
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except OSError:
                time.sleep(0.05)

    def target(self, *requests: bytes) -> Target:
        """Returns where to send requests for it."""
        return Target("127.0.0.1", self.port, requests)


def body_of(stack: LocalStack, sequence: str, jobs: int) -> dict[str, Any]:
    """Returns a new batch."""
    return {
        "project_id": stack.facts.project_id,
        "sequence_builder": sequence,
        "device_type": "EMU_FREE",
        "open": False,
        "jobs": [{"runs": 100, "variables": {"omega": 3.0 + job / 50}} for job in range(jobs)],
    }


@contextmanager
def cases(stack: LocalStack) -> Iterator[list[Case]]:
    """Prepares both sides: 100 batches of 10 jobs, and copies of the files for the bare side."""
    token, sequence = stack.token(), program(4)
    stack.command("devices", "pause", "EMU_FREE")
    posts = {jobs: body_of(stack, sequence, jobs) for jobs in (1, 10, 100)}
    created = [stack.call("POST", "/api/v1/batches", token, posts[10]) for _ in range(BATCHES)]
    ids = [answer["data"]["id"] for answer in created]
    answers = {
        "batch": stack.call("GET", f"/api/v2/batches/{ids[0]}", token),
        "jobs": stack.call("GET", "/api/v2/jobs", token),
    }
    for jobs in (1, 100):
        answers[f"created {jobs}"] = stack.call("POST", "/api/v1/batches", token, posts[jobs])
    with tempfile.TemporaryDirectory(prefix="tweezer-bare-") as temporary:
        folder = Path(temporary)
        (folder / "answers.json").write_text(json.dumps(answers))
        for name in ("batch.db", "job.db"):
            _copy(stack.folder / name, folder / name)
        bare = Bare(folder)

        def get(name: str, bare_path: str, path: str, things: list[str]) -> Case:
            of_memory, of_database = (
                bare.target(*(request("GET", f"/{kind}/{bare_path}{thing}") for thing in things))
                for kind in ("memory", "database")
            )
            ours = [request("GET", path + thing, token) for thing in things]
            return Case(name, of_memory, of_database, Target(stack.host, stack.port, ours))

        def post(jobs: int) -> Case:
            data = json.dumps(posts[jobs]).encode()
            return Case(
                f"post-{jobs}",
                bare.target(request("POST", "/memory/batches", body=data)),
                bare.target(request("POST", "/database/batches", body=data)),
                Target(
                    stack.host,
                    stack.port,
                    [request("POST", "/api/v1/batches", token, data)],
                ),
                jobs,
            )

        try:
            yield [
                get("get-batch", "batches/", "/api/v2/batches/", ids),
                get("list-jobs", "jobs", "/api/v2/jobs", ["?limit=100"]),
                post(1),
                post(100),
            ]
        finally:
            bare.process.terminate()
            bare.process.wait()


def _copy(source: Path, target: Path) -> None:
    with sqlite3.connect(source) as here, sqlite3.connect(target) as there:
        here.backup(there)


def measure(case: Case, stack: LocalStack, options: argparse.Namespace) -> None:
    """Prints the rounds of one request and their medians."""
    rounds: list[tuple[Load, Load, Load]] = []
    costs: list[dict[str, float]] = []
    processes = stack.processes()
    for warm_up in (case.memory, case.database, case.tweezer):
        full(warm_up, options.clients, 1.0)
    for _ in range(options.rounds):
        memory = full(case.memory, options.clients, options.seconds)
        database = full(case.database, options.clients, options.seconds)
        before = {name: cpu_seconds(pid) for name, pid in processes.items()}
        ours = full(case.tweezer, options.clients, options.seconds)
        sent = ours.rate * options.seconds
        costs.append(
            {name: (cpu_seconds(pid) - before[name]) / sent for name, pid in processes.items()}
        )
        rounds.append((memory, database, ours))
        print(
            f"  {case.name:10} memory {memory.rate:7.0f}/s  database {database.rate:7.0f}/s  "
            f"Tweezer {ours.rate:6.0f}/s  p50 {ours.median_ms:6.1f} ms  p99 {ours.p99_ms:6.1f} ms  "
            f"ratios {ours.rate / memory.rate:.3f} {ours.rate / database.rate:.3f}  "
            f"failed {memory.failed + database.failed + ours.failed}  "
            f"load {os.getloadavg()[0]:.1f}",
            flush=True,
        )
    best = max(ours.rate for _, _, ours in rounds)
    halves = [
        at_rate(case.tweezer, 2 * options.clients, options.seconds, best / 2)
        for _ in range(options.rounds)
    ]
    _report(case, rounds, halves, costs)


def _report(
    case: Case,
    rounds: list[tuple[Load, Load, Load]],
    halves: list[Load],
    costs: list[dict[str, float]],
) -> None:
    of_memory = statistics.median(ours.rate / memory.rate for memory, _, ours in rounds)
    of_database = statistics.median(ours.rate / database.rate for _, database, ours in rounds)
    rate = statistics.median(ours.rate for _, _, ours in rounds)
    reached: float = of_memory
    text = f"{rate:.0f}/s, {of_memory:.3f} of memory, {of_database:.3f} of the database"
    if case.jobs > 1:
        reached = rate * case.jobs
        text += f", {reached:.0f} jobs/s"
    tail = statistics.median(half.p99_ms / half.median_ms for half in halves)
    middle = statistics.median(half.median_ms for half in halves)
    target = TARGETS[case.name]
    verdict = "reached" if reached >= target else "missed"
    print(f"{case.name}: {text}; target {target:g}: {verdict}")
    print(
        f"{case.name}: at half of the highest rate p50 {middle:.1f} ms, p99 {tail:.1f} times that; "
        f"target under 5: {'reached' if tail < 5 else 'missed'}"
    )
    cpu = {name: statistics.median(cost[name] for cost in costs) for name in costs[0]}
    print(
        f"{case.name}: processor time per request: "
        + ", ".join(f"{name} {1e6 * cost:.0f} us" for name, cost in cpu.items()),
        flush=True,
    )


def main() -> None:
    """Measures all requests, or some."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--only", default=",".join(TARGETS))
    options = parser.parse_args()
    print(f"{options.clients} clients, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    with local_stack("--workers", "1") as stack, cases(stack) as prepared:
        for case in prepared:
            if case.name in options.only.split(","):
                measure(case, stack, options)


if __name__ == "__main__":
    main()
