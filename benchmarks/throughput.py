"""Compares Tweezer's rate of jobs with bare processes that run the same jobs.

python benchmarks/throughput.py [--atoms 4] [--identical] [--jobs 1000] [--bare-jobs 200]
                                [--workers 2] [--rounds 5]

The jobs of a batch differ in the value of a variable, or in nothing at all with --identical.

One round is: the bare processes share the jobs and loop over them as Pulser documents it; then the
same jobs go as one batch through the REST gateway. Both sides are warm: modules are imported and
workers are up. The time of a batch is from sending the request to learning that it is final.
Rounds alternate, so that a busy machine troubles both sides alike; the ratio is taken per round.
The bare processes may be given fewer of the jobs, spread evenly: their rate is the same for many.
"""

import argparse
import asyncio
import json
import math
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import grpc

from tweezer.cli.facts import ConnectionFacts
from tweezer.cli.rest import RestApi
from tweezer.v1.account_service_pb2 import IssueTokenRequest
from tweezer.v1.account_service_pb2_grpc import AccountServiceStub
from tweezer.v1.batch_pb2 import BatchStatus
from tweezer.v1.batch_service_pb2 import WatchBatchRequest
from tweezer.v1.batch_service_pb2_grpc import BatchServiceStub

#: Ratios that are claimed, by the number of atoms.
TARGETS: Final = {4: 5.0, 8: 2.5, 10: 2.5}
TARGET_IDENTICAL: Final = 20.0
RUNS: Final = 1000
TWEEZER: Final = str(Path(sys.executable).with_name("tweezer"))

#: Another thread per process would only be in the way of its neighbours, on both sides.
os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def program(atoms: int) -> str:
    """Returns a sequence of 2 us on two rows of atoms, with the amplitude `omega`."""
    from pulser import Pulse, Register, Sequence
    from pulser.devices import MockDevice
    from pulser.waveforms import RampWaveform

    register = Register.rectangle(2, atoms // 2, spacing=6.0, prefix="q")
    sequence = Sequence(register, MockDevice)
    omega = sequence.declare_variable("omega")
    sequence.declare_channel("rydberg", "rydberg_global")
    sequence.add(Pulse.ConstantAmplitude(omega, RampWaveform(2000, -10.0, 10.0), 0.0), "rydberg")
    sequence.measure("ground-rydberg")
    return str(sequence.to_abstract_repr())


def amplitudes(jobs: int, *, identical: bool) -> list[float]:
    """Returns one amplitude per job, from 3 to 7 rad/us, or the same for all."""
    if identical:
        return [5.0] * jobs
    return [3.0 + 4.0 * job / jobs for job in range(jobs)]


def bare_process(commands: Connection, sequence: str) -> None:
    """Runs the jobs it is sent, one after the other, until it is sent nothing."""
    from pulser import Sequence
    from pulser.backend import BitStrings
    from pulser_simulation import QutipBackendV2, QutipConfig

    commands.send("ready")
    while omegas := commands.recv():
        for omega in omegas:
            built = Sequence.from_abstract_repr(sequence).build(omega=omega)
            config = QutipConfig(observables=[BitStrings(num_shots=RUNS)])
            counts = QutipBackendV2(built, config=config).run().final_bitstrings
            assert sum(counts.values()) == RUNS
        commands.send("done")


class BareProcesses:
    """The processes that Tweezer is compared with."""

    def __init__(self, number: int, sequence: str) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._pipes: list[Connection] = []
        self._pids: list[int | None] = []
        for _ in range(number):
            ours, theirs = spawn.Pipe()
            process = spawn.Process(target=bare_process, args=(theirs, sequence), daemon=True)
            process.start()
            self._pipes.append(ours)
            self._pids.append(process.pid)
        for pipe in self._pipes:
            pipe.recv()

    def seconds(self, omegas: list[float]) -> float:
        """Runs the jobs and returns how long that took."""
        start = time.perf_counter()
        for index, pipe in enumerate(self._pipes):
            pipe.send(omegas[index :: len(self._pipes)])
        for pipe in self._pipes:
            pipe.recv()
        return time.perf_counter() - start

    def cpu_seconds(self) -> float:
        """Returns the processor time of the processes so far."""
        return sum(cpu_seconds(pid) for pid in self._pids if pid is not None)

    def stop(self) -> None:
        """Lets the processes end."""
        for pipe in self._pipes:
            pipe.send([])


def cpu_seconds(root: int) -> float:
    """Returns the processor time of a process and its living offspring; nan where unknown."""
    ticks, parents = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            parents[int(folder.name)] = int(fields[1])
            ticks[int(folder.name)] = int(fields[11]) + int(fields[12])
    if not ticks:
        return math.nan
    family, generation = {root}, {root}
    while generation:
        generation = {pid for pid, parent in parents.items() if parent in generation}
        family |= generation
    return sum(ticks.get(pid, 0) for pid in family) / os.sysconf("SC_CLK_TCK")


@contextmanager
def stack(workers: int) -> Iterator[tuple[ConnectionFacts, int]]:
    """Runs Tweezer in a temporary folder; gives how to reach it, and its process."""
    with tempfile.TemporaryDirectory(prefix="tweezer-bench-") as folder:
        command = [TWEEZER, "up", "--data-dir", folder, "--workers", str(workers)]
        for option in ("--port", "--batch-port", "--job-port"):
            command += [option, "0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            if not any("running" in line for line in process.stdout):
                raise SystemExit("Tweezer did not start")
            answer = subprocess.check_output(
                [TWEEZER, "connection", "--json", "--data-dir", folder]
            )
            try:
                yield ConnectionFacts(**json.loads(answer)), process.pid
            finally:
                process.terminate()


async def batch_seconds(facts: ConnectionFacts, sequence: str, omegas: list[float]) -> float:
    """Runs the jobs as one batch and returns how long that took."""
    body = {
        "project_id": facts.project_id,
        "sequence_builder": sequence,
        "device_type": "EMU_FREE",
        "open": False,
        "jobs": [{"runs": RUNS, "variables": {"omega": omega}} for omega in omegas],
    }
    async with (
        RestApi.connect(facts) as api,
        grpc.aio.insecure_channel(facts.grpc["batch"]) as channel,
    ):
        batches: Any = BatchServiceStub(channel)
        token = await AccountServiceStub(channel).IssueToken(
            IssueTokenRequest(username=facts.username, password=facts.password)
        )
        credential = (("authorization", f"Bearer {token.access_token}"),)
        start = time.perf_counter()
        batch = await api.create_batch(body)
        watch = batches.WatchBatch(WatchBatchRequest(batch_id=batch["id"]), metadata=credential)
        states = [state async for state in watch]
        seconds = time.perf_counter() - start
    if states[-1].status != BatchStatus.BATCH_STATUS_DONE or states[-1].job_counts.error:
        raise SystemExit(f"the batch ended as {states[-1]}")
    return seconds


def measure(options: argparse.Namespace) -> list[float]:
    """Prints the rates of each round and returns the ratios."""
    sequence, ratios = program(options.atoms), []
    omegas = amplitudes(options.jobs, identical=options.identical)
    of_bare = omegas[:: max(len(omegas) // options.bare_jobs, 1)]
    bare = BareProcesses(options.workers, sequence)
    with stack(options.workers) as (facts, root):
        # Other values than those of the jobs, of which nothing shall be known before.
        warm_up = [omega + 0.001 for omega in omegas[: 4 * options.workers]]
        bare.seconds(warm_up)
        asyncio.run(batch_seconds(facts, sequence, warm_up))
        print(f"{describe(options)}; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
        print("round   bare jobs/s   Tweezer jobs/s   ratio   CPU ms per job: bare   Tweezer")
        for number in range(1, options.rounds + 1):
            # Nor shall a round profit from the one before it.
            fresh = [omega + number * 1e-6 for omega in omegas]
            before = bare.cpu_seconds(), cpu_seconds(root)
            theirs = len(of_bare) / bare.seconds(of_bare)
            ours = options.jobs / asyncio.run(batch_seconds(facts, sequence, fresh))
            ratios.append(ours / theirs)
            their_ms = 1000 * (bare.cpu_seconds() - before[0]) / len(of_bare)
            our_ms = 1000 * (cpu_seconds(root) - before[1]) / options.jobs
            print(
                f"{number:5}   {theirs:11.1f}   {ours:14.1f}   {ratios[-1]:5.2f}"
                f"   {their_ms:20.1f}   {our_ms:7.1f}",
                flush=True,
            )
    bare.stop()
    return ratios


def describe(options: argparse.Namespace) -> str:
    """Returns what is measured, in words."""
    kind = "identical" if options.identical else "parametrised"
    return f"{options.jobs} {kind} jobs of {options.atoms} atoms, {options.workers} workers"


def main() -> None:
    """Measures and prints the median of the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--atoms", type=int, default=4)
    parser.add_argument("--identical", action="store_true")
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--bare-jobs", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    ratios = measure(options)
    median = statistics.median(ratios)
    spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
    target = TARGET_IDENTICAL if options.identical else TARGETS.get(options.atoms)
    verdict = "no target"
    if target is not None:
        verdict = f"target {target}: {'reached' if median >= target else 'missed'}"
    print(f"{describe(options)}: median ratio {median:.2f} ({spread}); {verdict}")


if __name__ == "__main__":
    main()
