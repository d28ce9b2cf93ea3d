"""Settings of the execution service."""

import os
import socket
from pathlib import Path
from typing import ClassVar, Final, Literal, Self

from pydantic import Field, PositiveFloat, model_validator
from pydantic_settings import SettingsConfigDict

from tweezer.execution.emulators.registry import EMULATORS
from tweezer.execution.emulators.task import Integrator, Limits
from tweezer.execution.engine_settings import EngineSettings

#: Room that the rest of a message takes beside a result file, in bytes.
_MESSAGE_MARGIN: Final = 64 * 1024

#: A worker needs this much to have its modules imported.
_LEAST_MEMORY: Final = 2**28

#: Memory that a container may use, as seen from inside it.
_CGROUP_LIMIT: Final = Path("/sys/fs/cgroup/memory.max")


class ExecutionSettings(EngineSettings):
    """What an operator can set of the execution service."""

    model_config = SettingsConfigDict(env_nested_delimiter="__")

    process_name: ClassVar[str] = "execution"

    execution_listen: str = "127.0.0.1:8003"
    """Address of the health service."""
    execution_metrics_listen: str | None = None
    """Address of the page /metrics, for example 127.0.0.1:9003; absent serves none."""
    execution_name: str = Field(default_factory=lambda: f"{socket.gethostname()}:{os.getpid()}")
    """Names this service in the logs of the job service."""
    execution_engine: Literal["local", "dask", "slurm"] = "local"
    """What runs the jobs: `local` is worker processes on this machine, `dask` the workers of the
    scheduler at `dask_address`, `slurm` workers that are started as Slurm jobs."""
    execution_workers: int = Field(default_factory=lambda: _usable_cores(), ge=1)
    """Jobs that run at the same time on the engine `local`."""
    execution_worker_memory_bytes: int | None = Field(
        default_factory=lambda fields: _share_of_memory(fields.get("execution_workers", 1)),
        ge=_LEAST_MEMORY,
    )
    """Memory that one worker may take; a job that needs more fails with a sentence. The default
    divides nine tenths of the machine's memory, or of the container's, among the workers; on other
    machines it is nine tenths of what the Dask worker has."""
    execution_device_types: tuple[str, ...] = tuple(EMULATORS)
    """Device types whose jobs it runs; all that have an emulator unless set."""
    execution_limits: Limits = Limits()
    """How large a job may be; one of them is set by TWEEZER_EXECUTION_LIMITS__MAX_ATOMS. They are
    what this machine can bear, whatever the batch service lets through: jobs beyond them fail."""
    execution_integrator: Integrator = "fastest"
    """How the Schrödinger equation is integrated: `fastest`, which is `magnus` where that is likely
    to be quicker and else `vern7`; one of these two; or `default`, as Pulser does. See
    docs/performance.md."""
    execution_share_emulations: bool = True
    """Whether jobs that differ in nothing but shots are emulated once, where there is no noise, and
    measured each on its own."""
    job_time_limit_s: PositiveFloat = 86_400.0
    """How long a job may run, in seconds, from its start on a worker; it then ends as ERROR. `inf`
    lifts the limit."""
    job_time_limits: dict[str, PositiveFloat] = {}  # noqa: RUF012 - pydantic copies it
    """The same for some device types: a JSON object such as {"EMU_FREE": 600}."""
    lease_duration_s: float = Field(default=30.0, gt=0)
    """How long a job stays with this service after it was last heard of, in seconds."""
    lease_renewal_s: float = Field(default=0.5, gt=0)
    """Shortest time between two renewals, in seconds. A cancelled job is known at once when it was
    held at the last renewal, and after this time otherwise; progress is passed on as often."""
    lease_wait_s: float = Field(default=20.0, gt=0, le=60)
    """How long to wait for jobs in one call, in seconds."""
    max_prefetch: int = Field(default=64, ge=0)
    """Short jobs that are leased at most before a worker is free for them."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        unknown = {
            *(*self.execution_device_types, *self.job_time_limits),
            *(*self.dask_resources, *self.slurm_device_types),
        } - EMULATORS.keys()
        if unknown:
            raise ValueError(f"there is no emulator for {', '.join(sorted(unknown))}")
        if self.execution_limits.max_result_bytes > self.max_message_bytes - _MESSAGE_MARGIN:
            raise ValueError("a result of max_result_bytes does not fit into max_message_bytes")
        if self.execution_engine == "dask" and not self.dask_address:
            raise ValueError("the engine `dask` needs dask_address, for example tls://host:8786")
        if self.lease_renewal_s > self.lease_duration_s / 2:
            raise ValueError("lease_renewal_s must be at most half of lease_duration_s")
        return self


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _share_of_memory(workers: int) -> int | None:
    # Emulators are limited in what they allocate, not in what they use, so that all of them at
    # their limits still leave a tenth to the services beside them.
    memory = _usable_memory()
    return None if memory is None else max(memory * 9 // 10 // workers, _LEAST_MEMORY)


def _usable_memory() -> int | None:
    if "SC_PHYS_PAGES" not in getattr(os, "sysconf_names", {}):
        return None
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        container = int(_CGROUP_LIMIT.read_text())
    except (OSError, ValueError):  # not Linux, or "max"
        return machine
    return min(machine, container)
