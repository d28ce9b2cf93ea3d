"""Settings of the job service."""

from pathlib import Path
from typing import ClassVar, Final, Self

from pydantic import Field, SecretStr, model_validator
from sqlalchemy import URL

from tweezer.database.settings import DatabaseSettings
from tweezer.database.url import database_url
from tweezer.rpc.shared_keys import SharedKey, in_key_folder
from tweezer.webhooks.settings import WebhookSettings

#: Longest time for which S3 lets a link be signed, in seconds.
_LONGEST_S3_LINK_S: Final = 7 * 24 * 3600


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
    """How long a link to a result works, in seconds; with S3 a week at most."""
    result_ticket_key: SecretStr | None = None
    """The key that signs links to results of a folder, in place of the file; random, 32 characters
    or more. After it others may stand, whose links stay good."""
    result_ticket_key_file: Path = Field(default_factory=in_key_folder("result-tickets.key"))
    """The file of that key. It is made in the data folder unless this names one."""
    result_store_url: str | None = None
    """Where results are kept: `s3://BUCKET/PREFIX`, with `?endpoint=https://HOST&region=NAME` where
    it is not Amazon's, or `file:///FOLDER`; by default a folder in the data folder. Credentials
    come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or as AWS gives them to machines."""
    result_store_public_endpoint: str | None = None
    """Where clients reach the S3 store, if not where this process does: links lead there."""
    result_store_ca_file: Path | None = None
    """Authority (PEM) of the S3 store's certificate, if it is a private one."""
    result_store_patience_s: float = Field(default=10.0, gt=0)
    """How long the S3 store may be silent, and how long a request is repeated, in seconds."""

    cancel_wait_s: float = Field(default=2.0, ge=0)
    """How long the cancel of a running job waits for its worker to stop, in seconds."""

    max_unfinished_jobs: int = Field(default=1_000_000, ge=1)
    """Jobs that wait or run altogether before more are turned away."""
    max_stored_bytes_per_project: int = Field(default=100 * 1024**3, ge=1)
    """Most bytes that the results and sequences of a project take together before its new jobs are
    turned away. Batches that an operator deletes, and results that are no longer kept, make room.
    """
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

    @model_validator(mode="after")
    def _links_can_be_signed(self) -> Self:
        in_s3 = (self.result_store_url or "").startswith("s3:")
        if in_s3 and self.result_link_lifetime_s > _LONGEST_S3_LINK_S:
            raise ValueError("result_link_lifetime_s must not be above a week with S3")
        return self

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
    def result_ticket_keys(self) -> SharedKey:
        """The key that signs links to results."""
        return SharedKey(
            "TWEEZER_RESULT_TICKET_KEY",
            self.result_ticket_key,
            self.result_ticket_key_file,
            "result_ticket_key_file" in self.model_fields_set,
        )
