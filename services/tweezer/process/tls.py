"""What a process shows and trusts where connections are protected by TLS."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """A certificate chain and its private key, both PEM; one file may hold both."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Mutual:
    """How our processes know each other: each shows a certificate of a private authority."""

    own: CertificateFiles
    authority: Path


@dataclass(frozen=True, slots=True)
class Tls:
    """What a process shows and trusts; what is absent is not protected by TLS."""

    own: CertificateFiles | None = None
    """Shown to clients."""
    authority: Path | None = None
    """Signs the certificates of the services that this process calls."""
    mutual: Mutual | None = None
