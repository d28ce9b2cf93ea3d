"""Dask workers that are Slurm jobs: started, counted, ended.

dask-jobqueue writes the scripts and calls sbatch and scancel. How many there are is decided here,
one job after the other, since its own scaling waits for ever for a job that Slurm has refused, or
ended before it connected.
"""

import asyncio
import os
import subprocess  # nosec B404 # commands of Slurm, without a shell
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import structlog
from dask_jobqueue import SLURMCluster
from dask_jobqueue.slurm import SLURMJob
from distributed import Client, Status
from distributed.security import Security

from tweezer.execution.engines.engine import EngineError
from tweezer.execution.engines.slurm_resources import SlurmOptions, SlurmResources
from tweezer.process.worker_environment import worker_environment

log = structlog.get_logger(__name__)

#: How long a worker waits for this process before it ends, in seconds.
_DEATH_TIMEOUT_S: Final = 60

#: How long the connection to the own scheduler may take, in seconds.
_CONNECT_S: Final = 30

#: Shortest time between two questions to Slurm, in seconds.
_LOOK_S: Final = 2.0

_MIB: Final = 1024 * 1024


class SubmissionFailed(Exception):
    """Slurm takes no job at present; the text is what it said."""


class SlurmJob(SLURMJob):  # type: ignore[misc] # dask-jobqueue is Any here
    """A Slurm job of dask-jobqueue."""

    @staticmethod
    async def _call(cmd: list[str], **_: object) -> str:
        return await _command(*cmd)


async def _command(*words: str) -> str:
    """Runs a command of Slurm and returns what it writes.

    In a thread and by the standard library, which starts programs without copying this process:
    gRPC has a word about each copy that the event loop's own way makes.

    Raises:
        OSError: There is no such command.
        RuntimeError: It failed.
    """
    # The words are ours, dask-jobqueue's, or numbers that Slurm gave us.
    ended = await asyncio.to_thread(
        subprocess.run,  # nosec B603
        words,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if ended.returncode != 0:
        said = (ended.stderr or ended.stdout).strip()
        raise RuntimeError(f"{words[0]} ended with code {ended.returncode}: {said}")
    return str(ended.stdout)


class SlurmPool:
    """The workers of one kind, and the Dask scheduler that they connect to.

    The scheduler lives in this process. It takes code from whoever connects, so it speaks TLS with
    an authority of its own, whose certificates only the folder holds.
    """

    def __init__(self, resources: SlurmResources, options: SlurmOptions) -> None:
        self._resources, self._options = resources, options
        self._cluster: Any = None
        self._looked_at = 0.0
        self._security: Security | None = None

    async def start(self) -> None:
        """Starts the scheduler; raises EngineError when that is not possible."""
        try:
            logs = _log_folder(Path(self._options.folder))
            self._security = Security.temporary()
            self._cluster = SLURMCluster(
                asynchronous=True,
                name="tweezer",
                job_cls=SlurmJob,
                security=self._security,
                shared_temp_directory=self._options.folder,
                scheduler_options=self._scheduler_options(),
                **_job_options(self._resources, logs),
            )
            await self._cluster
            await self.jobs_known_to_slurm()
        except (OSError, RuntimeError, ValueError) as error:
            raise EngineError(f"The Slurm engine cannot start: {error}") from error

    async def client(self) -> Client:
        """Connects to the scheduler."""
        return await Client(
            self._cluster.scheduler_address,
            security=self._security,
            asynchronous=True,
            set_as_default=False,
            timeout=_CONNECT_S,
        )

    async def close(self) -> None:
        """Ends all jobs and the scheduler."""
        if self._cluster is not None:
            cluster, self._cluster = self._cluster, None
            await cluster.close()

    @property
    def names(self) -> set[str]:
        """Workers that were asked for."""
        return set(self._cluster.worker_spec)

    @property
    def connected(self) -> set[str]:
        """Workers that are there."""
        return {str(worker.name) for worker in self._cluster.scheduler.workers.values()}

    @property
    def busy(self) -> set[str]:
        """Workers that have work."""
        workers = self._cluster.scheduler.workers.values()
        return {str(worker.name) for worker in workers if worker.processing}

    async def add(self, number: int) -> None:
        """Submits jobs; raises SubmissionFailed when Slurm does not take one."""
        for _ in range(number):
            self._cluster.worker_spec.update(self._cluster.new_worker_spec())
        try:
            await self._cluster
        except (OSError, RuntimeError, ValueError) as error:
            for name, job in list(self._cluster.workers.items()):
                if job.job_id is None:
                    job.status = Status.failed
                    del self._cluster.workers[name], self._cluster.worker_spec[name]
            raise SubmissionFailed(str(error)) from error

    async def end(self, names: Iterable[str]) -> None:
        """Ends workers and cancels their jobs, whether they have begun or not."""
        names = list(names)
        connected = [name for name in names if name in self.connected]
        if connected:
            await self._cluster.scheduler.retire_workers(
                names=connected, remove=True, close_workers=True
            )
        await self._cluster.scale_down(names)

    async def forget_ended(self) -> set[str]:
        """Drops workers whose job has ended without a word to us, and returns their names."""
        absent = self.names - self.connected
        if not absent or time.monotonic() - self._looked_at < _LOOK_S:
            return set()
        self._looked_at = time.monotonic()
        known = await self.jobs_known_to_slurm()
        ended = {
            name
            for name in absent - self.connected
            if (job := self._cluster.workers.get(name)) is None or job.job_id not in known
        }
        if ended:
            await self._cluster.scale_down(ended)
        return ended

    async def jobs_known_to_slurm(self) -> set[str]:
        """Returns the identifiers of all jobs of this user that have not ended.

        Raises:
            OSError: There is no squeue.
            RuntimeError: Slurm does not answer.
        """
        return set((await _command("squeue", "--me", "--noheader", "--format=%A")).split())

    def _scheduler_options(self) -> dict[str, Any]:
        # A page with graphs is not worth another port.
        options: dict[str, Any] = {"dashboard": False, "dashboard_address": "127.0.0.1:0"}
        if self._options.host is not None:
            options["host"] = self._options.host
        return options


def _log_folder(folder: Path) -> Path:
    """Makes the folder, which is nobody else's affair, and the one for logs in it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    logs = folder / "logs"
    logs.mkdir(mode=0o700, exist_ok=True)
    return logs


def _job_options(resources: SlurmResources, logs: Path) -> dict[str, Any]:
    return {
        "processes": 1,
        # Threads of Dask, not of the emulator: one job at a time.
        "cores": 1,
        "job_cpu": resources.cores,
        "memory": f"{resources.memory_mib * _MIB}B",
        "job_mem": f"{resources.memory_mib}M",
        "queue": resources.partition,
        "account": resources.account,
        "walltime": resources.time_limit,
        "job_name": "tweezer",
        "log_directory": str(logs),
        "python": sys.executable,
        "death_timeout": _DEATH_TIMEOUT_S,
        "job_directives_skip": [] if resources.time_limit else ["#SBATCH -t "],
        "job_extra_directives": _directives(resources, logs, os.environ),
        "worker_extra_args": ["--no-dashboard", "--dashboard-address", "127.0.0.1:0"],
    }


def _directives(resources: SlurmResources, logs: Path, environment: Mapping[str, str]) -> list[str]:
    # sbatch would pass on the whole environment of this process, with what opens our databases.
    names = ",".join(sorted(worker_environment(environment)))
    directives = [f"--export={names or 'NIL'}", f"--chdir={logs}", "--no-requeue"]
    if resources.gpus:
        directives.append(f"--gres=gpu:{resources.gpus}")
    return [*directives, *resources.directives]
