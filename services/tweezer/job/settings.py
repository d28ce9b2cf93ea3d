"""Settings of the job service."""

from pathlib import Path
from typing import ClassVar

from pydantic import Field, SecretStr
from sqlalchemy import URL

from tweezer.database.settings import DatabaseSettings
from tweezer.database.url import database_url
from tweezer.webhooks.settings import WebhookSettings


class JobSettings(WebhookSettings, DatabaseSettings):
    """What an operator can set of the job service."""

    process_name: ClassVar[str] = "job"

    job_listen: str = "127.0.0.1:8002"
    """Address to listen on."""
    job_internal_listen: str = "127.0.0.1:8012"
    """Address to listen on for our other processes, where they have certificates (`mtls_*`)."""
    job_metrics_listen: str | None = None
    """Address of the page /metrics, for example 127.0.0.1:9002; absent serves none."""
    job_database_url: SecretStr | None = None
    """Database, `sqlite:///FILE` or `postgresql://USER@HOST/DATABASE`; by default a file in the
    data folder. It must not be that of another service."""
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

    max_unfinished_jobs: int = Field(default=1_000_000, ge=1)
    """Jobs that wait or run altogether before more are turned away."""
    max_result_streams: int = Field(default=64, ge=1)
    """Results that are sent at the same time; more wait for a moment and are then turned away."""

    result_retention_days: float | None = Field(default=None, gt=0)
    """How long results are kept after the end of their job, in days; for ever unless set."""
    result_sweep_delay_s: float = Field(default=60.0, ge=0)
    """After a start, when the result store is first compared with the jobs, in seconds."""
    result_sweep_interval_h: float = Field(default=24.0, gt=0)
    """How often the result store is compared with the jobs, in hours."""
    result_sweep_grace_s: float = Field(default=3600.0, ge=0)
    """How old a result must be before it counts as nobody's, in seconds. Longer than a worker may
    go on to repeat a call."""

    @property
    def job_database_file(self) -> Path:
        """The file of the database, unless a setting names another."""
        return self.data_dir / "job.db"

    @property
    def job_database(self) -> URL:
        """The database."""
        return database_url(
            "TWEEZER_JOB_DATABASE_URL", self.job_database_url, self.job_database_file
        )

    @property
    def results_dir(self) -> Path:
        """The folder of the result files."""
        return self.data_dir / "results"

    @property
    def result_ticket_key_file(self) -> Path:
        """The key that signs links to results."""
        return self.data_dir / "keys" / "result-tickets.key"
