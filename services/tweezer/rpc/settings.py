"""Settings of every process that serves or calls gRPC."""

from pathlib import Path

from pydantic import Field, SecretStr

from tweezer.rpc.oidc_settings import OidcSettings
from tweezer.rpc.shared_keys import SharedKey, in_key_folder


class RpcSettings(OidcSettings):
    """Facts that the gRPC services share."""

    batch_address: str = "127.0.0.1:8001"
    """Where BatchService, DeviceService and AccountService listen."""
    job_address: str = "127.0.0.1:8002"
    """Where JobService listens."""
    batch_internal_address: str = "127.0.0.1:8011"
    """Where the batch process listens for our other processes, with certificates (`mtls_*`)."""
    job_internal_address: str = "127.0.0.1:8012"
    """Where the job process listens for our other processes, with certificates (`mtls_*`)."""
    max_message_bytes: int = Field(default=64 * 1024 * 1024, ge=1024 * 1024)
    """Largest gRPC message, in bytes."""
    token_issuer: str = "tweezer"
    """`iss` of the tokens of the built-in issuer."""
    token_audience: str = "tweezer"
    """`aud` of the tokens of the built-in issuer."""
    jwks: str | None = None
    """The public keys (JWKS) that tokens of the built-in issuer are checked with, in place of the
    file: where services are on several machines. `tweezer keys make` makes them."""
    jwks_file: Path = Field(default_factory=in_key_folder("jwks.json"))
    """The file of these public keys; read again whenever it changes."""
    service_key: SecretStr | None = None
    """The key with which our processes call each other where they have no certificates, in place of
    the file; random, 32 characters or more. After it others may stand, which are accepted too."""
    service_key_file: Path = Field(default_factory=in_key_folder("service.key"))
    """The file of that key. It is made in the data folder unless this names one."""
    user_calls_per_s: float = Field(default=1000.0, gt=0)
    """Calls that one user may make per second and process in the long run; more are turned away."""
    user_calls_burst: int = Field(default=5000, ge=1)
    """Calls that one user may make at once before that rate holds."""

    connection_life_s: float | None = Field(default=None, gt=0)
    """How long a caller's connection lasts, in seconds; then the caller looks again who is behind
    the name that it calls, and new replicas get their share. For ever unless set."""
    max_public_calls: int = Field(default=1000, ge=1)
    """Calls for clients that a process handles at the same time before it turns more away."""
    max_internal_calls: int = Field(default=1000, ge=1)
    """The same for calls of our own processes, which come again after that."""
    max_waiting_calls: int = Field(default=10_000, ge=1)
    """The same for calls that are held open until something happens: watched batches, and
    execution services that wait for jobs."""
    health_check_s: float = Field(default=1.0, gt=0)
    """Time between two looks whether the database answers, in seconds."""
    health_patience_s: float = Field(default=5.0, gt=0)
    """How long the database may take before the service counts as not serving, in seconds."""
    stop_grace_s: float = Field(default=10.0, gt=0)
    """How long what is under way may take when the process stops, in seconds."""

    @property
    def batch_internal(self) -> str:
        """Where the batch process answers internal RPCs."""
        return self.batch_address if self.tls.mutual is None else self.batch_internal_address

    @property
    def job_internal(self) -> str:
        """Where the job process answers internal RPCs."""
        return self.job_address if self.tls.mutual is None else self.job_internal_address

    @property
    def service_keys(self) -> SharedKey:
        """The key with which our processes call each other."""
        return SharedKey(
            "TWEEZER_SERVICE_KEY",
            self.service_key,
            self.service_key_file,
            "service_key_file" in self.model_fields_set,
        )
