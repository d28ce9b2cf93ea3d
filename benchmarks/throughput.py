"""Compares Tweezer's rate of small jobs with bare processes that run the same jobs.

python benchmarks/throughput.py [--jobs 200] [--workers 2] [--rounds 5]

One round is: the bare processes share the jobs and loop over them as Pulser documents it; then the
same jobs go as one batch through the REST gateway. Both sides are warm: modules are imported and
workers are up. The time of a batch is from sending the request to learning that it is final.
Rounds alternate, so that a busy machine troubles both sides alike; the ratio is taken per round.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
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

TARGET: Final = 0.9
RUNS: Final = 1000
ATOMS: Final = 4
TWEEZER: Final = str(Path(sys.executable).with_name("tweezer"))

#: Another thread per process would only be in the way of its neighbours, on both sides.
os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def program() -> str:
    """Returns a sequence of 2 us on a chain of atoms, with the amplitude `omega`."""
    from pulser import Pulse, Register, Sequence
    from pulser.devices import MockDevice
    from pulser.waveforms import RampWaveform

    register = Register.rectangle(1, ATOMS, spacing=7.0, prefix="q")
    sequence = Sequence(register, MockDevice)
    omega = sequence.declare_variable("omega")
    sequence.declare_channel("rydberg", "rydberg_global")
    sequence.add(Pulse.ConstantAmplitude(omega, RampWaveform(2000, -10.0, 10.0), 0.0), "rydberg")
    sequence.measure("ground-rydberg")
    return str(sequence.to_abstract_repr())


def amplitudes(jobs: int) -> list[float]:
    """Returns one amplitude per job, from 3 to 7 rad/us."""
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
        self._pipes = []
        for _ in range(number):
            ours, theirs = spawn.Pipe()
            spawn.Process(target=bare_process, args=(theirs, sequence), daemon=True).start()
            self._pipes.append(ours)
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

    def stop(self) -> None:
        """Lets the processes end."""
        for pipe in self._pipes:
            pipe.send([])


@contextmanager
def stack(workers: int) -> Iterator[ConnectionFacts]:
    """Runs Tweezer in a temporary folder."""
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
                yield ConnectionFacts(**json.loads(answer))
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


def measure(jobs: int, workers: int, rounds: int) -> list[float]:
    """Prints the rates of each round and returns the ratios."""
    sequence, omegas, ratios = program(), amplitudes(jobs), []
    bare = BareProcesses(workers, sequence)
    with stack(workers) as facts:
        warm_up = omegas[: 4 * workers]
        bare.seconds(warm_up)
        asyncio.run(batch_seconds(facts, sequence, warm_up))
        print(f"{jobs} jobs of {ATOMS} atoms, {workers} workers")
        print("round   bare jobs/s   Tweezer jobs/s   ratio")
        for number in range(1, rounds + 1):
            theirs = jobs / bare.seconds(omegas)
            ours = jobs / asyncio.run(batch_seconds(facts, sequence, omegas))
            ratios.append(ours / theirs)
            print(f"{number:5}   {theirs:11.1f}   {ours:14.1f}   {ratios[-1]:5.2f}", flush=True)
    bare.stop()
    return ratios


def main() -> None:
    """Measures and prints the median of the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    ratios = measure(options.jobs, options.workers, options.rounds)
    median = statistics.median(ratios)
    verdict = "reached" if median >= TARGET else "missed"
    print(
        f"median ratio {median:.2f} ({min(ratios):.2f} to {max(ratios):.2f});"
        f" target {TARGET}: {verdict}"
    )


if __name__ == "__main__":
    main()
