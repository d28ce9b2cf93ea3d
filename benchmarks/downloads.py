"""Measures what the processes hold while 10,000 jobs with results of 100 kB are read.

python -m benchmarks.downloads [--jobs 10000] [--kilobytes 100] [--readers 4]

The jobs are of batches of 1,000. They are not emulated: a worker of this file leases them from the
job service, as the execution service would, and ends each with a result of the size asked for, of
random bitstrings. Then some readers page through all jobs, 100 at a time, and download the result
of each by its link. The memory of each process (USS) is read all the time: before, at most, after.
"""

import argparse
import asyncio
import json
import os
import secrets
import threading
import time
from collections.abc import Iterator
from typing import Any, Final

import grpc
from benchmarks.latency import Client
from benchmarks.local_stack import LocalStack, local_stack
from benchmarks.process_memory import memory
from benchmarks.throughput import program
from google.protobuf.duration_pb2 import Duration

from tweezer.internal.v1.lease_service_pb2 import FinishJobsRequest, JobOutcome, LeaseJobsRequest
from tweezer.internal.v1.lease_service_pb2_grpc import LeaseServiceStub
from tweezer.rpc.service_key import SCHEME

_BATCH: Final = 1000
_PAGE: Final = 100
_AT_ONCE: Final = 20
_SAMPLE_S: Final = 0.25

#: The stack's own execution service leaves the jobs alone.
_SETTINGS: Final = {"TWEEZER_EXECUTION_DEVICE_TYPES": '["EMU_FRESNEL"]'}


class Watcher:
    """Reads the memory of a stack's processes in a thread while the body runs."""

    def __init__(self, stack: LocalStack) -> None:
        self._stack, self._stop = stack, threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.most: dict[str, float] = {}

    def __enter__(self) -> "Watcher":
        """Begins."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Ends."""
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(_SAMPLE_S):
            for name, mib in held(self._stack).items():
                self.most[name] = max(self.most.get(name, 0.0), mib)


def held(stack: LocalStack) -> dict[str, float]:
    """Returns what each process holds alone, in MiB."""
    return {name: alone for name, (alone, _) in memory(stack.supervisor).items()}


def result_of(kilobytes: int) -> bytes:
    """Returns a result file of about that size."""
    counter: dict[str, int] = {}
    while 28 * len(counter) < 1000 * kilobytes:
        counter[f"{secrets.randbits(20):020b}"] = 1
    return json.dumps({"counter": counter, "raw": None, "serialised_results": None}).encode()


def submit(client: Client, stack: LocalStack, jobs: int) -> None:
    """Submits the jobs."""
    sequence = program(2)
    for start in range(0, jobs, _BATCH):
        body = {
            "project_id": stack.facts.project_id,
            "sequence_builder": sequence,
            "device_type": "EMU_FREE",
            "open": False,
            "jobs": [
                {"runs": 100, "variables": {"omega": 3.0 + job * 1e-5}}
                for job in range(start, min(start + _BATCH, jobs))
            ],
        }
        client.call("POST", "/api/v1/batches", body)


async def work(stack: LocalStack, jobs: int, result: bytes) -> None:
    """Is the worker: ends all jobs."""
    key = (stack.folder / "keys" / "service.key").read_text().strip()
    credential = (("authorization", f"{SCHEME} {key}"),)
    minute = Duration(seconds=60)
    async with grpc.aio.insecure_channel(stack.facts.grpc["job"]) as channel:
        stub: Any = LeaseServiceStub(channel)
        done = 0
        while done < jobs:
            leased = await stub.LeaseJobs(
                LeaseJobsRequest(
                    worker_id="benchmark",
                    device_types=["EMU_FREE"],
                    max_jobs=_AT_ONCE,
                    wait=Duration(seconds=10),
                    lease_duration=minute,
                ),
                metadata=credential,
            )
            tokens = [lease.token for batch in leased.batches for lease in batch.leases]
            outcomes = [JobOutcome(token=token, result=result) for token in tokens]
            await stub.FinishJobs(FinishJobsRequest(outcomes=outcomes), metadata=credential)
            done += len(tokens)


def pages(client: Client, number: int, readers: int, jobs: int) -> Iterator[list[dict[str, Any]]]:
    """Yields the pages of jobs that one reader reads."""
    for offset in range(number * _PAGE, jobs, readers * _PAGE):
        yield client.call("GET", f"/api/v2/jobs?offset={offset}&limit={_PAGE}")["data"]


def read(stack: LocalStack, number: int, options: argparse.Namespace, sizes: list[int]) -> None:
    """Is one reader."""
    client = Client(stack)
    for page in pages(client, number, options.readers, options.jobs):
        for job in page:
            link = client.call("GET", f"/api/v1/jobs/{job['id']}/results_link")["data"]
            sizes.append(len(client.download(link["results_link"])))


def main() -> None:
    """Fills a stack, reads everything and prints what the processes held."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--kilobytes", type=int, default=100)
    parser.add_argument("--readers", type=int, default=4)
    options = parser.parse_args()
    result = result_of(options.kilobytes)
    with local_stack("--workers", "1", settings=_SETTINGS) as stack:
        submit(Client(stack), stack, options.jobs)
        idle = held(stack)
        with Watcher(stack) as working:
            asyncio.run(work(stack, options.jobs, result))
        sizes: list[int] = []
        readers = [
            threading.Thread(target=read, args=(stack, number, options, sizes))
            for number in range(options.readers)
        ]
        began = time.perf_counter()
        with Watcher(stack) as reading:
            for reader in readers:
                reader.start()
            for reader in readers:
                reader.join()
        seconds = time.perf_counter() - began
        after = held(stack)
    if len(sizes) != options.jobs or min(sizes) < len(result):
        raise SystemExit(f"{len(sizes)} of {options.jobs} results were read")
    print(
        f"{len(sizes)} results of {len(result) // 1000} kB in {seconds:.0f} s, "
        f"{len(sizes) / seconds:.0f} a second; load {os.getloadavg()[0]:.1f}"
    )
    print("MiB alone: with all jobs submitted, most while they end, most while read, after")
    for name, mib in sorted(idle.items()):
        storing, most = working.most.get(name, mib), reading.most.get(name, mib)
        print(f"{name}: {mib:.0f}, {storing:.0f}, {most:.0f}, {after.get(name, 0.0):.0f}")


if __name__ == "__main__":
    main()
