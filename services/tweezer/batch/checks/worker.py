"""The process that checks sequences: reads requests from a socket and answers each.

It is a process of its own because a few bytes of a sequence can ask Pulser for any amount of
memory or time (a pulse of 10^12 ns, a number to the power of itself), and because reading a
sequence would hold up all calls that the service is answering. Memory and computing time of a
check are limited by the operating system.
"""

import gc
import os
import resource
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import orjson

from tweezer.batch.checks.facts import Refused
from tweezer.process.worker_environment import confine

#: What is sent once Pulser is imported.
READY: Final = b"ready"

_TOO_LARGE: Final = "takes more memory than a check may use"

Check = Callable[..., dict[str, Any]]


def serve(connection: Connection, memory_bytes: int, cpu_s: int) -> None:
    """Answers requests until the other end is gone."""
    # Ctrl-C in a terminal reaches all processes of it; the parent decides when this one ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    warnings.simplefilter("ignore")  # Pulser warns the authors of programs; they are not here
    # Imported this late so that the parent need not import Pulser.
    from tweezer.batch.checks import pulser_checks

    checks: Mapping[str, Check] = {
        "sequence": pulser_checks.inspect_sequence,
        "configuration": pulser_checks.inspect_configuration,
        "build": pulser_checks.build_sequence,
        "durations": pulser_checks.measure_durations,
    }
    _limit_memory(memory_bytes)
    with suppress(EOFError, ConnectionError):  # the service is gone
        connection.send_bytes(READY)
        while True:
            request = connection.recv_bytes()
            _allow_cpu(cpu_s)
            connection.send_bytes(_answer(checks, request, pulser_checks.forget_sequences))


def _answer(checks: Mapping[str, Check], request: bytes, free: Callable[[], None]) -> bytes:
    try:
        content = orjson.loads(request)
        return orjson.dumps({"accepted": checks[content["check"]](**content["arguments"])})
    except Refused as refused:
        return orjson.dumps({"refused": str(refused)})
    except MemoryError:
        free()
        gc.collect()
        return orjson.dumps({"refused": _TOO_LARGE})
    except Exception:  # noqa: BLE001 - the boundary of the process: the parent logs it
        return orjson.dumps({"failed": traceback.format_exc()})


def _limit_memory(memory_bytes: int) -> None:
    """Limits the address space; does nothing where the system does not say how large it is."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except FileNotFoundError:
        return
    limit = pages * os.sysconf("SC_PAGESIZE") + memory_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _allow_cpu(cpu_s: int) -> None:
    """Lets the process compute for so long from now; then SIGXCPU ends it, whatever it does."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    # The system counts whole seconds.
    limit = int(used.ru_utime + used.ru_stime) + cpu_s + 1
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (limit, hard))


def main() -> int:
    """Serves on the socket whose number is the first argument."""
    descriptor, memory_bytes, cpu_s = (int(argument) for argument in sys.argv[1:])
    confine()
    with Connection(descriptor) as connection:
        serve(connection, memory_bytes, cpu_s)
    return 0


if __name__ == "__main__":
    sys.exit(main())
