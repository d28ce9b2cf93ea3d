"""Keeps a stack under full load and tells whether its processes grow.

python -m benchmarks.soak [--minutes 30] [--clients 4] [--jobs 50] [--csv FILE]

Some clients each submit a batch of short jobs, poll it, list its jobs, download some of the
results, and begin again; every tenth batch is cancelled. What ended a few minutes ago is cleaned up
by `tweezer vacuum`. The memory of each process, with its workers apart, is read every few seconds
(USS: what it holds alone). The first third of the time is warm-up; after that, the mean of the
first and of the last quarter are compared, and the slope of all is given.
"""

import argparse
import csv
import itertools
import os
import statistics
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks.latency import Client
from benchmarks.local_stack import LocalStack, local_stack
from benchmarks.process_memory import memory
from benchmarks.throughput import program

#: How often memory is read and a batch asked for, in seconds.
_SAMPLE_S: Final = 5.0
_POLL_S: Final = 0.2

#: Growth after the warm-up that counts as none, in MiB and as a share.
_FLAT_MIB: Final = 4.0
_FLAT_SHARE: Final = 0.05

#: How often is cleaned up, in samples, and what, in days.
_CLEAN_UP: Final = 36
_KEPT_DAYS: Final = 3 / 1440


@dataclass(slots=True)
class Load:
    """What the clients have done so far."""

    batches: int = 0
    jobs: int = 0
    results: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    failures: list[BaseException] = field(default_factory=list)

    def count(self, jobs: int, results: int) -> None:
        """Adds a batch."""
        with self.lock:
            self.batches, self.jobs = self.batches + 1, self.jobs + jobs
            self.results += results


def work(stack: LocalStack, number: int, jobs: int, load: Load, stop: threading.Event) -> None:
    """Is one client, until `stop` is set."""
    sequence = program(2)
    try:
        client = Client(stack)
        for turn in itertools.count():
            if stop.is_set():
                return
            if turn % 50 == 49:
                client = Client(stack)  # a token does not last for ever
            one_batch(client, stack, sequence, (number, turn), jobs, load)
    except BaseException as error:
        load.failures.append(error)
        stop.set()
        raise


def one_batch(
    client: Client,
    stack: LocalStack,
    sequence: str,
    name: tuple[int, int],
    jobs: int,
    load: Load,
) -> None:
    """Submits a batch, waits for its end and reads what came of it."""
    number, turn = name
    omegas: list[Any] = [3.0 + (number * 1e4 + turn + each / jobs) * 1e-5 for each in range(jobs)]
    body = {
        "project_id": stack.facts.project_id,
        "sequence_builder": sequence,
        "device_type": "EMU_FREE",
        "open": False,
        "jobs": [{"runs": 100, "variables": {"omega": omega}} for omega in omegas],
    }
    batch = client.call("POST", "/api/v1/batches", body)["data"]
    path = f"/api/v2/batches/{batch['id']}"
    if turn % 10 == 9:
        client.call("PATCH", f"{path}/cancel")
    while client.call("GET", path)["data"]["status"] in ("PENDING", "RUNNING"):
        time.sleep(_POLL_S)
    results = 0
    listed = client.call("GET", f"/api/v2/jobs?batch_id={batch['id']}&limit=100")["data"]
    for job in listed[:10]:
        if job["status"] == "DONE":
            link = client.call("GET", f"/api/v1/jobs/{job['id']}/results_link")["data"]
            client.download(link["results_link"])
            results += 1
    load.count(jobs, results)


def soak(stack: LocalStack, options: argparse.Namespace) -> list[dict[str, float]]:
    """Runs the clients and returns the samples: MiB by process, and the time in seconds."""
    load, stop = Load(), threading.Event()
    clients = [
        threading.Thread(target=work, args=(stack, number, options.jobs, load, stop))
        for number in range(options.clients)
    ]
    for client in clients:
        client.start()
    samples: list[dict[str, float]] = []
    began = time.monotonic()
    while not stop.wait(_SAMPLE_S):
        passed = time.monotonic() - began
        held = {name: alone for name, (alone, _) in memory(stack.supervisor).items()}
        samples.append({"seconds": passed, **held})
        if len(samples) % 24 == 0:
            shown = ", ".join(f"{name} {mib:.0f}" for name, mib in sorted(held.items()))
            print(f"{passed / 60:5.1f} min, {load.jobs} jobs: {shown} MiB", flush=True)
        if len(samples) % _CLEAN_UP == 0:
            stack.command("vacuum", "--older-than", str(_KEPT_DAYS))
        if passed > 60 * options.minutes:
            stop.set()
    for client in clients:
        client.join()
    if load.failures:
        raise SystemExit(f"a client failed: {load.failures[0]!r}")
    minutes = (time.monotonic() - began) / 60
    print(
        f"{load.batches} batches, {load.jobs} jobs, {load.results} results in {minutes:.0f} min, "
        f"load {os.getloadavg()[0]:.1f}"
    )
    return samples


def judge(samples: list[dict[str, float]]) -> None:
    """Prints how the memory of each process went after the warm-up."""
    steady = samples[len(samples) // 3 :]
    quarter = max(len(steady) // 4, 1)
    hours = [sample["seconds"] / 3600 for sample in steady]
    for name in sorted(steady[0].keys() - {"seconds"}):
        held = [sample.get(name, 0.0) for sample in steady]
        first, last = statistics.mean(held[:quarter]), statistics.mean(held[-quarter:])
        slope = statistics.linear_regression(hours, held).slope
        flat = last - first <= max(_FLAT_MIB, _FLAT_SHARE * first)
        print(
            f"{name}: {first:.1f} -> {last:.1f} MiB, {slope:+.1f} MiB/h: "
            f"{'flat' if flat else 'grows'}"
        )


def main() -> None:
    """Soaks a stack and prints what its processes hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--jobs", type=int, default=50)
    parser.add_argument("--csv", type=Path)
    options = parser.parse_args()
    with local_stack("--workers", "2") as stack:
        samples = soak(stack, options)
    if options.csv is not None:
        with options.csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, sorted({name for each in samples for name in each}))
            writer.writeheader()
            writer.writerows(samples)
    judge(samples)


if __name__ == "__main__":
    main()
