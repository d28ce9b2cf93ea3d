"""Settings of the batch service."""

from pathlib import Path
from typing import ClassVar

from pydantic import Field, SecretStr
from sqlalchemy import URL

from tweezer.database.url import database_url
from tweezer.identity.settings import IdentitySettings
from tweezer.webhooks.settings import WebhookSettings


class BatchSettings(IdentitySettings, WebhookSettings):
    """What an operator can set of the batch service."""

    process_name: ClassVar[str] = "batch"

    batch_listen: str = "127.0.0.1:8001"
    """Address to listen on."""
    batch_internal_listen: str = "127.0.0.1:8011"
    """Address to listen on for our other processes, where they have certificates (`mtls_*`)."""
    batch_metrics_listen: str | None = None
    """Address of the page /metrics, for example 127.0.0.1:9001; absent serves none."""
    batch_database_url: SecretStr | None = None
    """Database, `sqlite:///FILE` or `postgresql://USER@HOST/DATABASE`; by default a file in the
    data folder. It must not be that of another service."""

    max_sequence_bytes: int = Field(default=16 * 1024 * 1024, ge=1024)
    """Largest sequence, in bytes of its text."""
    max_sequence_ns: int = Field(default=1_000_000, ge=1)
    """Longest duration of a sequence, in nanoseconds. Where variables decide it, jobs that are not
    looked at in time are left to the execution service, which has a limit of its own."""
    max_jobs_per_batch: int = Field(default=10_000, ge=1)
    """Most jobs of one batch."""
    max_runs: int = Field(default=1_000_000, ge=1)
    """Most shots of one job. A million shots of any register are drawn in seconds and counted in
    some tens of megabytes; a thousand times that would fill the memory of a worker."""
    max_variables: int = Field(default=1000, ge=1)
    """Most variables that a sequence declares."""
    max_variable_values: int = Field(default=10_000, ge=1)
    """Most values that the variables of a sequence take together."""
    max_configuration_bytes: int = Field(default=256 * 1024, ge=1024)
    """Largest backend configuration or legacy configuration, in bytes. Lists show both, and a page
    of 100 must fit into a message."""
    max_unfinished_jobs_per_project: int = Field(default=1_000_000, ge=1)
    """Most jobs of a project that are not final. More are refused until some have ended."""
    max_batches_per_project: int = Field(default=10_000_000, ge=1)
    """Most batches of a project that are stored, finished ones included. More are refused until
    some are deleted."""
    max_tags: int = Field(default=100, ge=0)
    """Most tags of a batch."""
    max_tag_length: int = Field(default=256, ge=1)
    """Longest tag, in characters."""
    device_folder: Path | None = None
    """Folder of more device files, `<DEVICE_TYPE>.json` and `.toml`; they add to or override those
    that are shipped."""
    device_atom_limits: dict[str, int] = Field(default_factory=dict)
    """Largest register of a device type, in place of what its file says; a JSON object. Who raises
    it raises TWEEZER_EXECUTION_LIMITS__MAX_ATOMS where the jobs run, too."""

    check_workers: int = Field(default=1, ge=1)
    """Processes that check sequences, each with Pulser in memory (about 200 MiB)."""
    check_cpu_s: int = Field(default=10, ge=1)
    """Longest that one check may compute, in seconds."""
    check_memory_bytes: int = Field(default=1024 * 1024 * 1024, ge=64 * 1024 * 1024)
    """Most memory that a check may take beyond what Pulser itself needs (on Linux)."""
    max_waiting_checks: int = Field(default=1000, ge=1)
    """Checks that may wait for a process before more are turned away."""
    programs_remembered: int = Field(default=4096, ge=1)
    """Sequences of which the outcome of the check is kept in memory."""

    batch_cancel_wait_s: float = Field(default=2.0, ge=0)
    """How long an answer waits for JobService to hear of a cancel or a pause, in seconds."""
    open_batch_idle_s: float = Field(default=300.0, gt=0)
    """How long an open batch may have no job to run before it times out, in seconds."""
    intents_per_call: int = Field(default=200, ge=1)
    """Most batches of which JobService is told in one call."""
    request_id_life_s: float = Field(default=86_400.0, gt=0)
    """How long a request that its caller has named is not done a second time, in seconds."""
    batch_retention_days: float | None = Field(default=None, gt=0)
    """Finished batches are deleted, with their jobs and results, so many days after their end.
    Unset keeps them for ever, or until an operator deletes them with `tweezer vacuum`."""
    batch_recovery_interval_s: float = Field(default=3600.0, gt=0)
    """How often is looked for what crashes and deletions left behind, in seconds. The first time is
    at the start."""
    watch_reread_s: float = Field(default=30.0, gt=0)
    """How often a watched batch is read again without a sign of change, in seconds."""

    @property
    def batch_database_file(self) -> Path:
        """The file of the database, unless a setting names another."""
        return self.data_dir / "batch.db"

    @property
    def batch_database(self) -> URL:
        """The database."""
        return database_url(
            "TWEEZER_BATCH_DATABASE_URL", self.batch_database_url, self.batch_database_file
        )
