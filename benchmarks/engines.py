"""Compares the rate of jobs of the engines: local, dask, and slurm where it is installed.

python -m benchmarks.engines [--atoms 8] [--jobs 100] [--workers 1 2] [--rounds 3]

For each number of workers there is one stack per engine, all at the same time and warm. A round
sends the same jobs, as one batch, to one after the other, so that a busy machine troubles all
alike; ratios are taken per round. The time of a batch is from sending the request to learning that
it is final. Slurm is a cluster of one node on loopback, for which this must be root.
"""

import argparse
import asyncio
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from benchmarks.local_stack import LocalStack, local_stack
from benchmarks.throughput import amplitudes, batch_seconds, program
from distributed import Client
from scripts.one_node_slurm import OneNodeSlurm, missing

#: Memory of a worker that is a Slurm job, in MiB.
_MEMORY_MIB: Final = 1024

#: How long workers may take to come, in seconds.
_PATIENCE_S: Final = 120

#: Jobs that are run before the first round, for each worker.
_WARM_UP: Final = 10


@contextmanager
def local(workers: int) -> Iterator[LocalStack]:
    """Runs a stack with worker processes of its own."""
    with local_stack("--workers", str(workers)) as stack:
        yield stack


@contextmanager
def dask(workers: int) -> Iterator[LocalStack]:
    """Runs a stack with the workers of a Dask cluster, each with a nanny."""
    with tempfile.TemporaryDirectory(prefix="tweezer-bench-") as folder, ExitStack() as processes:
        file = Path(folder) / "scheduler.json"
        shared = ("--scheduler-file", str(file))
        processes.enter_context(dask_process("scheduler", *shared, "--port", "0"))
        for _ in range(workers):
            processes.enter_context(dask_process("worker", *shared, "--nthreads", "1", "--nanny"))
        client: Any = Client(scheduler_file=str(file), timeout=_PATIENCE_S, set_as_default=False)
        with client:
            client.wait_for_workers(workers, timeout=_PATIENCE_S)
            address = str(client.scheduler.address)
        with local_stack("--engine", "dask", settings={"TWEEZER_DASK_ADDRESS": address}) as stack:
            yield stack


@contextmanager
def dask_process(kind: str, *options: str) -> Iterator[None]:
    """Runs a scheduler or a worker."""
    command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", "--host", "127.0.0.1"]
    with subprocess.Popen(
        [*command, "--no-dashboard", *options], stderr=subprocess.DEVNULL
    ) as process:
        try:
            yield
        finally:
            process.terminate()


@contextmanager
def slurm(workers: int) -> Iterator[LocalStack]:
    """Runs a stack with workers that are Slurm jobs."""
    with OneNodeSlurm("bench", cores=workers, memory_mib=workers * _MEMORY_MIB) as cluster:
        settings = {
            **cluster.environment,
            "TWEEZER_SLURM_HOST": "127.0.0.1",
            "TWEEZER_SLURM_WORKER__MEMORY_MIB": str(_MEMORY_MIB),
            "TWEEZER_SLURM_WORKER__MIN_WORKERS": str(workers),
            "TWEEZER_SLURM_WORKER__MAX_WORKERS": str(workers),
        }
        with local_stack("--engine", "slurm", settings=settings) as stack:
            yield stack


ENGINES: Final = {"local": local, "dask": dask, "slurm": slurm}


def places(stack: LocalStack, batch_name: str) -> set[str]:
    """Returns the Slurm jobs that have run any job of the stack so far."""
    answer = stack.call("GET", f"{batch_name}/api/v2/jobs?limit=100", stack.token())
    return {job["slurm_job_id"] for job in answer["data"] if job["slurm_job_id"]}


def warm_up(stack: LocalStack, engine: str, sequence: str, workers: int) -> None:
    """Runs jobs until every worker has run some."""
    core = stack.facts.core.partition(f":{stack.port}")[2]
    for attempt in range(20):
        values = [3.0 + 1e-4 * (attempt * 1000 + job) for job in range(_WARM_UP * workers)]
        asyncio.run(batch_seconds(stack.facts, sequence, values))
        if engine != "slurm" or len(places(stack, core)) == workers:
            return
    raise SystemExit("the Slurm jobs do not come")


def measure(workers: int, options: argparse.Namespace) -> dict[str, list[float]]:
    """Prints the rates of each round and returns them by engine."""
    sequence = program(options.atoms)
    names = [name for name in ENGINES if name != "slurm" or may_run_slurm()]
    rates: dict[str, list[float]] = {name: [] for name in names}
    with ExitStack() as running:
        stacks = {name: running.enter_context(ENGINES[name](workers)) for name in names}
        for name, stack in stacks.items():
            warm_up(stack, name, sequence, workers)
        for number in range(1, options.rounds + 1):
            omegas = [omega + number * 1e-6 for omega in amplitudes(options.jobs, identical=False)]
            for name, stack in stacks.items():
                seconds = asyncio.run(batch_seconds(stack.facts, sequence, omegas))
                rates[name].append(options.jobs / seconds)
            print(row(workers, str(number), {name: rates[name][-1] for name in names}), flush=True)
    return rates


def may_run_slurm() -> bool:
    """Tells whether a cluster of Slurm can be started here."""
    return os.geteuid() == 0 and not missing()


def row(workers: int, number: str, rates: dict[str, float]) -> str:
    """Returns a line of the table."""
    cells = [f"{workers:7}", f"{number:>6}"]
    for name in ENGINES:
        cells.append(f"{rates[name]:8.1f}" if name in rates else "       -")
    for name in ("dask", "slurm"):
        ratio = f"{rates[name] / rates['local']:12.2f}" if name in rates else "           -"
        cells.append(ratio)
    return "  ".join(cells)


def main() -> None:
    """Measures and prints the medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--atoms", type=int, default=8)
    parser.add_argument("--jobs", type=int, default=100)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    # So that all that was started is stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    load = f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    print(f"{options.jobs} parametrised jobs of {options.atoms} atoms, jobs/s; {load}")
    print("workers   round     local      dask     slurm    dask/local   slurm/local")
    medians = {}
    for workers in options.workers:
        rates = measure(workers, options)
        medians[workers] = {name: statistics.median(values) for name, values in rates.items()}
        print(row(workers, "median", medians[workers]))
    least, most = min(options.workers), max(options.workers)
    if least != most:
        for name, rate in medians[most].items():
            gain = rate / medians[least][name]
            print(f"{name}: {most} workers are {gain:.2f} times as fast as {least}")


if __name__ == "__main__":
    main()
