"""Reads certificates, at the start and again when they have been renewed."""

import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import structlog

from tweezer.process.run import StartFailed
from tweezer.process.tls import CertificateFiles

log = structlog.get_logger(__name__)

#: A certificate with less time left is worth a warning.
_SOON: Final = timedelta(days=14)


def read_certificate(files: CertificateFiles) -> tuple[bytes, bytes]:
    """Returns the key and the chain, or raises StartFailed unless they fit each other."""
    try:
        check = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        check.load_cert_chain(files.certificate, files.key, password=_no_password)
        key, chain = files.key.read_bytes(), files.certificate.read_bytes()
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise StartFailed(
            f"cannot use the certificate {files.certificate} with the key {files.key}: "
            f"{_reason(error)}"
        ) from None
    _warn_of_expiry(files.certificate, chain)
    return key, chain


def read_authority(path: Path) -> bytes:
    """Returns the certificates of an authority, or raises StartFailed."""
    try:
        ssl.create_default_context(cafile=path)
        return path.read_bytes()
    except OSError as error:
        raise StartFailed(f"cannot use the authority {path}: {_reason(error)}") from None


class Renewed:
    """A certificate that is read again when its files change.

    Files that do not fit each other, because only one of them has been replaced so far, change
    nothing.
    """

    def __init__(self, files: CertificateFiles) -> None:
        self._files, self._stamp = files, _stamp(files)

    def when_changed(self, use: Callable[[bytes, bytes], None]) -> None:
        """Calls `use` with the key and the chain if the files are new."""
        stamp = _stamp(self._files)
        if not stamp or stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            key, chain = read_certificate(self._files)
        except StartFailed as error:
            log.warning("a renewed certificate is not used", cause=str(error))
            return
        use(key, chain)
        log.info("a renewed certificate is used", file=str(self._files.certificate))


def _stamp(files: CertificateFiles) -> tuple[int, ...]:
    """Returns what changes when a file does; nothing while one is away."""
    try:
        found = [path.stat() for path in (files.certificate, files.key)]
    except OSError:
        return ()
    return tuple(number for at in found for number in (at.st_mtime_ns, at.st_ino))


def _no_password() -> str:
    # Otherwise OpenSSL would ask for it at the terminal.
    raise ValueError("the key is protected by a password")


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _warn_of_expiry(path: Path, chain: bytes) -> None:
    # Only where it is used: the import takes a while.
    from cryptography import x509

    ends = x509.load_pem_x509_certificates(chain)[0].not_valid_after_utc
    if ends - datetime.now(UTC) < _SOON:
        log.warning("a certificate ends soon, or has ended", file=str(path), ends=ends.isoformat())
