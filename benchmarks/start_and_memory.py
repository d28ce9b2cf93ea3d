"""Measures how soon `tweezer up` serves and what its processes hold in memory when idle.

python -m benchmarks.start_and_memory [--rounds 5]

Each round starts a stack twice on a folder: the first start makes keys, a user and the tables. The
REST API is asked every 10 ms: when it answers anything (requests are accepted), and when it says
that everything is ready. The memory is taken after that, of each process with its own children:
what it holds alone (USS) and what it maps (RSS). Also measured: `tweezer --help`.

The baseline of a round is how long four processes of Python take, started together, that import
the libraries of ours and nothing of ours. Printed as well is how long one process takes to import
pulser-simulation: nothing that emulates is ready before that.
"""

import argparse
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Final

from benchmarks.local_stack import TWEEZER, cpu_seconds
from benchmarks.process_memory import memory, offspring

TARGETS: Final = {"accepts requests": 2.0, "ready": 3.0}
_IMPORTED: Final = (
    "import sys, time; began = time.perf_counter(); import tweezer.cli.main; "
    "print(time.perf_counter() - began, *{'pulser', 'grpc', 'numpy'} & sys.modules.keys())"
)

_OF_ALL: Final = "grpc.aio, grpc_health.v1.health, pydantic_settings, structlog, prometheus_client"
#: The libraries that no process of ours can do without.
_LIBRARIES: Final = {
    "gateway": f"{_OF_ALL}, fastapi, uvicorn, uvloop, orjson",
    "batch": f"{_OF_ALL}, sqlmodel, uvloop",
    "job": f"{_OF_ALL}, sqlmodel, uvloop",
    "execution": f"{_OF_ALL}, uvloop",
}


def bare_imports(*imported: str) -> float:
    """Returns how long processes take, one for each list of modules, that import them and end."""
    began = time.perf_counter()
    processes = [
        subprocess.Popen([sys.executable, "-c", f"import {modules}"]) for modules in imported
    ]
    if any(process.wait() for process in processes):
        raise SystemExit("the libraries cannot be imported")
    return time.perf_counter() - began


def _status(url: str) -> int | None:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


def start(folder: Path) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """Starts a stack, and returns seconds by what happened, and its memory in MiB."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = ["--port", str(port), "--batch-port", "0", "--job-port", "0", "--workers", "2"]
    began = time.perf_counter()
    times: dict[str, float] = {}
    with subprocess.Popen(
        [TWEEZER, "up", "--data-dir", str(folder), *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            while "ready" not in times:
                status = _status(f"http://127.0.0.1:{port}/ready")
                now = time.perf_counter() - began
                if status is not None:
                    times.setdefault("accepts requests", now)
                if status == 200:
                    times["ready"] = now
                if process.poll() is not None or now > 120:
                    raise SystemExit("Tweezer did not start")
                time.sleep(0.01)
            times["processor time of all"] = sum(map(cpu_seconds, offspring(process.pid)))
            time.sleep(3.0)  # not a wait for anything: idle is what comes after the start
            return times, memory(process.pid)
        finally:
            process.send_signal(signal.SIGTERM)


def help_seconds() -> float:
    """Returns how long `tweezer --help` takes."""
    began = time.perf_counter()
    subprocess.run([TWEEZER, "--help"], check=True, capture_output=True)
    return time.perf_counter() - began


def main() -> None:
    """Measures and prints medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=5)
    rounds: int = parser.parse_args().rounds
    starts: dict[str, list[dict[str, float]]] = {"first start": [], "later start": []}
    held: dict[str, tuple[float, float]] = {}
    bare: list[float] = []
    pulser: list[float] = []
    for _ in range(rounds):
        bare.append(bare_imports(*_LIBRARIES.values()))
        pulser.append(bare_imports("pulser_simulation"))
        with tempfile.TemporaryDirectory(prefix="tweezer-start-") as folder:
            for kind, times in starts.items():
                took, held = start(Path(folder))
                times.append(took)
                shown = ", ".join(f"{what} {seconds:.2f} s" for what, seconds in took.items())
                print(f"  {kind}: {shown}; load {os.getloadavg()[0]:.1f}", flush=True)
    print(f"bare: the libraries are imported in {statistics.median(bare):.2f} s")
    print(f"bare: pulser-simulation is imported in {statistics.median(pulser):.2f} s")
    for kind, times in starts.items():
        for what, target in TARGETS.items():
            middle = statistics.median(each[what] for each in times)
            verdict = "reached" if middle <= target else "missed"
            ratio = statistics.median(
                each[what] / imports for each, imports in zip(times, bare, strict=True)
            )
            print(
                f"{kind}: {what} after {middle:.2f} s, {ratio:.2f} times the bare imports; "
                f"target {target:g} s: {verdict}"
            )
        spent = statistics.median(each["processor time of all"] for each in times)
        print(f"{kind}: {spent:.2f} s of processor time in all processes until then")
    for name, (alone, mapped) in sorted(held.items()):
        print(f"idle memory of {name}: {alone:.0f} MiB alone, {mapped:.0f} MiB mapped")
    helps = statistics.median(help_seconds() for _ in range(rounds))
    imported = subprocess.check_output([sys.executable, "-c", _IMPORTED], text=True).split()
    print(
        f"tweezer --help: {helps:.2f} s, of which imports {float(imported[0]):.2f} s; "
        f"heavy libraries among them: {', '.join(imported[1:]) or 'none'}"
    )


if __name__ == "__main__":
    main()
