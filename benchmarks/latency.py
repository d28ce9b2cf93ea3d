"""Measures what Tweezer adds to the time of one small job.

python -m benchmarks.latency [--rounds 30]

A job of two atoms is run bare in a process that has done so before, and then through the REST API:
from sending the batch to having its results, polling the status of the batch and downloading the
result by its link. The values of its variable differ, so that nothing is known before. Bare runs
and jobs alternate; the difference is taken per pair.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import time
from http.client import HTTPConnection
from multiprocessing.connection import Connection
from typing import Any, Final
from urllib.parse import urlsplit

from benchmarks.local_stack import LocalStack, local_stack
from benchmarks.throughput import bare_process, program

TARGET_MS: Final = 50.0
#: How often the status is asked for, in seconds.
_POLL: Final = 0.002


class Client:
    """One kept connection to the REST API."""

    def __init__(self, stack: LocalStack) -> None:
        self._connection = HTTPConnection(stack.host, stack.port)
        self._headers = {
            "Authorization": f"Bearer {stack.token()}",
            "Content-Type": "application/json",
        }
        self._project = stack.facts.project_id

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Sends a request and returns the JSON of the answer."""
        return json.loads(self._send(method, path, body))

    def download(self, link: str) -> bytes:
        """Gets what a link leads to."""
        return self._send("GET", urlsplit(link)._replace(scheme="", netloc="").geturl(), None)

    def _send(self, method: str, path: str, body: Any) -> bytes:
        data = None if body is None else json.dumps(body)
        self._connection.request(method, path, data, self._headers)
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise SystemExit(f"{method} {path}: {answer.status} {content!r}")
        return content

    def run(self, sequence: str, omega: float) -> float:
        """Runs a job and returns how long it took until its result was here."""
        body = {
            "project_id": self._project,
            "sequence_builder": sequence,
            "device_type": "EMU_FREE",
            "open": False,
            "jobs": [{"runs": 1000, "variables": {"omega": omega}}],
        }
        began = time.perf_counter()
        job = self.call("POST", "/api/v1/batches", body)["data"]["jobs"][0]["id"]
        while True:
            status = self.call("GET", f"/api/v1/jobs/{job}/status")["data"]["status"]
            if status in ("DONE", "ERROR", "CANCELED"):
                break
            time.sleep(_POLL)
        if status != "DONE":
            raise SystemExit(f"the job ended as {status}")
        link = self.call("GET", f"/api/v1/jobs/{job}/results_link")["data"]["results_link"]
        result = json.loads(self.download(link))
        took = time.perf_counter() - began
        assert sum(result["counter"].values()) == 1000
        return took


def bare(pipe: Connection, omega: float) -> float:
    """Runs a job in the bare process and returns how long it took."""
    began = time.perf_counter()
    pipe.send([omega])
    pipe.recv()
    return time.perf_counter() - began


def main() -> None:
    """Measures and prints the medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=30)
    rounds: int = parser.parse_args().rounds
    sequence = program(2)
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=bare_process, args=(theirs, sequence), daemon=True
    )
    process.start()
    ours.recv()
    with local_stack("--workers", "2") as stack:
        client = Client(stack)
        pairs = []
        for number in range(rounds + 4):  # the first ones warm both sides up
            omega = 3.0 + number / 100
            pair = bare(ours, omega), client.run(sequence, omega + 0.001)
            if number >= 4:
                pairs.append(pair)
    ours.send([])
    alone = 1000 * statistics.median(pair[0] for pair in pairs)
    through = 1000 * statistics.median(pair[1] for pair in pairs)
    added = 1000 * statistics.median(pair[1] - pair[0] for pair in pairs)
    print(
        f"bare {alone:.1f} ms, submit to result {through:.1f} ms, added {added:.1f} ms "
        f"(medians of {rounds}, load {os.getloadavg()[0]:.1f}); "
        f"target {TARGET_MS:g} ms: {'reached' if added <= TARGET_MS else 'missed'}"
    )


if __name__ == "__main__":
    main()
