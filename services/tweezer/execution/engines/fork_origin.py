"""The process that the workers of this machine are forked from."""

import multiprocessing
import os
from collections.abc import Mapping
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext, SpawnContext
from typing import Final, TypeAlias

from tweezer.execution.emulators.registry import module_of
from tweezer.process.worker_environment import only_worker_environment

#: How worker processes come into being.
WorkerContext: TypeAlias = ForkServerContext | SpawnContext

#: Numerical libraries use as many threads as there are cores, in each worker, unless told not to.
_THREADS: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def worker_context() -> WorkerContext:
    """Returns how this machine makes worker processes."""
    # fork is out of the question: the service has threads, gRPC's among them.
    methods = multiprocessing.get_all_start_methods()
    if "forkserver" in methods:
        return multiprocessing.get_context("forkserver")
    return multiprocessing.get_context("spawn")


def begin_imports(emulators: Mapping[str, str], threads: int = 1) -> None:
    """Starts the process that workers are forked from, unless it runs, and does not wait for it.

    It imports the emulators, and with them Pulser, which takes longer than all the rest of a start.
    """
    # It inherits this when it starts, as the workers do that are not forked.
    os.environ.update(dict.fromkeys(_THREADS, str(threads)))
    if isinstance(worker_context(), ForkServerContext):
        forkserver.set_forkserver_preload([module_of(name) for name in emulators.values()])
        with only_worker_environment():
            forkserver.ensure_running()
