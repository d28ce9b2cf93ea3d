"""Settings of the job service."""

from pathlib import Path

from pydantic import Field

from tweezer.rpc.settings import RpcSettings


class JobSettings(RpcSettings):
    """What an operator can set of the job service."""

    job_listen: str = "127.0.0.1:8002"
    """Address to listen on."""
    max_attempts: int = Field(default=3, ge=1)
    """How many workers a job may lose before it fails."""
    lease_grace_s: float = Field(default=10.0, ge=0)
    """After a start, how long workers have to renew leases that ran out meanwhile, in seconds."""
    addition_grace_s: float = Field(default=60.0, gt=0)
    """How long added jobs may stay held before BatchService is asked whether they were committed,
    in seconds. Longer than BatchService takes to commit at the worst."""
    progress_interval_s: float = Field(default=0.05, ge=0)
    """Least time between two reports of progress, in seconds; changes in between are merged."""
    result_link_lifetime_s: int = Field(default=3600, ge=1)
    """How long a link to a result works, in seconds."""

    cancel_wait_s: float = Field(default=2.0, ge=0)
    """How long the cancel of a running job waits for its worker to stop, in seconds."""

    @property
    def job_database_file(self) -> Path:
        """The database."""
        return self.data_dir / "job.db"

    @property
    def results_dir(self) -> Path:
        """The folder of the result files."""
        return self.data_dir / "results"

    @property
    def result_ticket_key_file(self) -> Path:
        """The key that signs links to results."""
        return self.data_dir / "keys" / "result-tickets.key"
