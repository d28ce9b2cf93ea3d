"""Settings of the execution service."""

import os
import socket
from typing import Literal, Self

from pydantic import Field, model_validator
from pydantic_settings import SettingsConfigDict

from tweezer.execution.emulators.registry import EMULATORS
from tweezer.execution.emulators.task import Limits
from tweezer.rpc.settings import RpcSettings

#: Room that the rest of a message takes beside a result file, in bytes.
_MESSAGE_MARGIN = 64 * 1024


class ExecutionSettings(RpcSettings):
    """What an operator can set of the execution service."""

    model_config = SettingsConfigDict(env_nested_delimiter="__")

    execution_listen: str = "127.0.0.1:8003"
    """Address of the health service."""
    execution_name: str = Field(default_factory=lambda: f"{socket.gethostname()}:{os.getpid()}")
    """Names this service in the logs of the job service."""
    execution_engine: Literal["local"] = "local"
    """What runs the jobs: `local` is worker processes on this machine."""
    execution_workers: int = Field(default_factory=lambda: _usable_cores(), ge=1)
    """Jobs that run at the same time."""
    execution_worker_memory_bytes: int | None = Field(
        default_factory=lambda: _usable_memory(), ge=2**28
    )
    """Memory that one job may take; a job that needs more fails with a sentence. The default is
    nine tenths of the machine's."""
    execution_device_types: tuple[str, ...] = tuple(EMULATORS)
    """Device types whose jobs it runs; all that have an emulator unless set."""
    execution_limits: Limits = Limits()
    """How large a job may be; one of them is set by TWEEZER_EXECUTION_LIMITS__MAX_ATOMS."""
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
        unknown = set(self.execution_device_types) - EMULATORS.keys()
        if unknown:
            raise ValueError(f"there is no emulator for {', '.join(sorted(unknown))}")
        if self.execution_limits.max_result_bytes > self.max_message_bytes - _MESSAGE_MARGIN:
            raise ValueError("a result of max_result_bytes does not fit into max_message_bytes")
        if self.lease_renewal_s > self.lease_duration_s / 2:
            raise ValueError("lease_renewal_s must be at most half of lease_duration_s")
        return self


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _usable_memory() -> int | None:
    if "SC_PHYS_PAGES" not in getattr(os, "sysconf_names", {}):
        return None
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") * 9 // 10
