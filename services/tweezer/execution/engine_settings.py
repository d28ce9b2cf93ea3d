"""Settings of the engines whose workers are on other machines."""

from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator

from tweezer.execution.engines.slurm_resources import SlurmResources, overridden
from tweezer.process.tls import CertificateFiles, Mutual
from tweezer.rpc.settings import RpcSettings


class EngineSettings(RpcSettings):
    """What an operator can set about Dask and Slurm."""

    dask_address: str = ""
    """Scheduler of the engine `dask`: `tls://<host>:8786`, or `tcp://` where nobody else is. Who
    reaches a scheduler without TLS runs code on its workers and in this process."""
    dask_tls_ca_file: Path | None = None
    """Authority (PEM) of the Dask cluster; it signs for scheduler, workers and clients."""
    dask_tls_cert_file: Path | None = None
    """Certificate (PEM) that this process shows to the Dask scheduler."""
    dask_tls_key_file: Path | None = None
    """The key of that certificate (PEM, without a password)."""
    dask_resources: dict[str, dict[str, float]] = {}  # noqa: RUF012 - pydantic copies it
    """What the jobs of a device type take of a worker that was started with `--resources`: a JSON
    object such as {"EMU_FREE": {"GPU": 1}}."""

    slurm_worker: SlurmResources = SlurmResources()
    """What each Slurm job of the engine `slurm` asks for, and how many there are; one part of it is
    set by TWEEZER_SLURM_WORKER__MAX_WORKERS."""
    slurm_device_types: dict[str, dict[str, Any]] = {}  # noqa: RUF012 - pydantic copies it
    """What is different for some device types: a JSON object such as {"EMU_FREE": {"gpus": 1,
    "partition": "gpu"}}. Device types that ask for the same share their workers."""
    slurm_folder: Path | None = None
    """Where the logs and certificates of Slurm jobs lie, at the same path on every node; `slurm` in
    the data folder unless set."""
    slurm_host: str | None = None
    """Address at which the nodes reach this machine; that of its name unless set."""
    slurm_idle_s: float = Field(default=60.0, ge=0)
    """How long a Slurm job may be without work before it is ended, in seconds."""
    slurm_jobs_ahead: int = Field(default=8, ge=1)
    """Jobs that are leased for workers that Slurm has not started yet. They are what is seen of the
    queue, and count as running while they wait."""

    @property
    def dask_tls(self) -> Mutual | None:
        """What is shown to the Dask scheduler and whom to trust; None without TLS."""
        if not (self.dask_tls_ca_file and self.dask_tls_cert_file and self.dask_tls_key_file):
            return None
        own = CertificateFiles(self.dask_tls_cert_file, self.dask_tls_key_file)
        return Mutual(own, self.dask_tls_ca_file)

    def slurm_resources_of(self, device_type: str) -> SlurmResources:
        """Returns what the Slurm jobs for a device type ask for."""
        return overridden(self.slurm_worker, self.slurm_device_types.get(device_type, {}))

    @model_validator(mode="after")
    def _engines_are_whole(self) -> Self:
        files = (self.dask_tls_ca_file, self.dask_tls_cert_file, self.dask_tls_key_file)
        if any(files) and not all(files):
            raise ValueError(
                "dask_tls_ca_file, dask_tls_cert_file and dask_tls_key_file need each other"
            )
        if self.dask_address.startswith("tls:") and not all(files):
            raise ValueError("a dask_address with tls:// needs dask_tls_ca_file and its company")
        for device_type in self.slurm_device_types:
            self.slurm_resources_of(device_type)
        return self
