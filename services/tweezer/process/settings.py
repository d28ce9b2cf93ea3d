"""Settings that every process has."""

from pathlib import Path
from typing import ClassVar, Literal, Self

from platformdirs import user_data_path
from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from tweezer.process.tls import CertificateFiles, Mutual, Tls


class ProcessSettings(BaseSettings):
    """Base of the settings of each process; read once, in `main`, and passed down.

    A field is set by the environment variable TWEEZER_<FIELD>. Processes that share a fact, for
    example the data folder, share the name.
    """

    model_config = SettingsConfigDict(env_prefix="TWEEZER_", extra="ignore", frozen=True)

    process_name: ClassVar[str] = "client"
    """Whose certificate is taken from `tls_dir`."""

    data_dir: Path = Field(default_factory=lambda: user_data_path("tweezer"))
    """Folder of the databases, results and keys."""
    log_format: Literal["text", "json"] = "text"
    """`text` for people, `json` for log collectors."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe messages that are logged."""
    audit_log: Literal["file", "stderr"] = "file"
    """Where it is recorded who did what: `audit.log` in the data folder, or standard error."""
    otel_endpoint: str | None = None
    """Where traces are sent, `http://<host>:4317` of a collector of OpenTelemetry; absent records
    none. Needs the extra `tracing`; its OTEL_* variables hold too, for example of sampling."""
    keepalive_s: float = Field(default=8.0, gt=0)
    """Longest silence of another process during a call before it is asked for a sign of life, in
    seconds."""
    keepalive_timeout_s: float = Field(default=5.0, gt=0)
    """How long the sign of life may take before the calls to that process fail, in seconds."""
    stop_on_stdin_close: bool = False
    """Stop when standard input closes: a supervisor holds the other end, so that its death, even
    by kill -9, leaves no orphan."""

    tls_dir: Path | None = None
    """Folder that `tweezer certs` has filled. Set, every connection is TLS, and our processes show
    each other certificates. The next files override it one by one."""
    tls_cert_file: Path | None = None
    """Certificate chain (PEM) that this process shows to clients; with its key, it serves TLS."""
    tls_key_file: Path | None = None
    """The key of that certificate (PEM, without a password)."""
    tls_ca_file: Path | None = None
    """Authorities (PEM) that sign what the services show to clients; set, they are called by TLS.
    Where that is a public authority: the list of the system."""
    tls_server_name: str | None = None
    """Name that the services' certificates are checked for, in place of the host in their address;
    needed where an address lists several."""
    mtls_cert_file: Path | None = None
    """Certificate that this process shows to our other processes; it names the process as a URI,
    `spiffe://tweezer/batch`, `job` or `execution`. Internal RPCs then need one."""
    mtls_key_file: Path | None = None
    """The key of that certificate (PEM, without a password)."""
    mtls_ca_file: Path | None = None
    """The private authority (PEM) that signs these certificates, and nothing else."""

    @property
    def tls(self) -> Tls:
        """What this process shows and trusts."""
        folder = self.tls_dir
        own = _files(self.tls_cert_file, self.tls_key_file)
        inner = _files(self.mtls_cert_file, self.mtls_key_file)
        authority, inner_authority = self.tls_ca_file, self.mtls_ca_file
        if folder is not None:
            pem = folder / f"{self.process_name}.pem"
            own, inner = own or CertificateFiles(pem, pem), inner or CertificateFiles(pem, pem)
            authority = authority or folder / "ca.crt"
            inner_authority = inner_authority or folder / "ca.crt"
        mutual = None if not inner or not inner_authority else Mutual(inner, inner_authority)
        return Tls(own, authority, mutual)

    @model_validator(mode="after")
    def _certificates_are_whole(self) -> Self:
        if (self.tls_cert_file is None) != (self.tls_key_file is None):
            raise ValueError("tls_cert_file and tls_key_file need each other")
        inner = (self.mtls_cert_file, self.mtls_key_file, self.mtls_ca_file)
        if self.tls_dir is None and any(inner) and not all(inner):
            raise ValueError("mtls_cert_file, mtls_key_file and mtls_ca_file need each other")
        if (self.mtls_cert_file is None) != (self.mtls_key_file is None):
            raise ValueError("mtls_cert_file and mtls_key_file need each other")
        return self


def _files(certificate: Path | None, key: Path | None) -> CertificateFiles | None:
    return None if certificate is None or key is None else CertificateFiles(certificate, key)
