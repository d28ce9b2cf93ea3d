"""A private authority: it signs a certificate for each of our processes.

For a small installation; a larger one has an authority of its own.
"""

import os
import tempfile
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tweezer.cli.failure import Failure
from tweezer.rpc.internal_callers import PROCESS_URI

#: Processes that get a certificate.
PROCESSES: Final = ("gateway", "batch", "job", "execution")

#: What every certificate is for: a whole installation on one machine needs no more.
_HERE: Final = ("localhost", "127.0.0.1", "::1")

_AUTHORITY_LIFE: Final = timedelta(days=3650)
_LIFE: Final = timedelta(days=365)

#: A certificate with less time left is made anew.
_RENEW: Final = timedelta(days=120)

#: Clocks of other machines may be a little behind.
_BACKDATED: Final = timedelta(hours=1)

_CERTIFICATE: Final = b"-----BEGIN CERTIFICATE-----"


class CannotCertify(Failure):
    """The authority cannot sign; the text says why."""


@dataclass(frozen=True, slots=True)
class Certified:
    """A certificate in the folder."""

    process: str
    file: Path
    hosts: tuple[str, ...]
    ends: datetime
    made: bool
    """Whether it is a new one."""


class Authority:
    """The authority of a folder, with its certificates beside it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.certificate_file = folder / "ca.crt"
        self.key_file = folder / "ca.key"

    def certify(self, hosts: Iterable[str] = (), *, anew: bool = False) -> list[Certified]:
        """Sees to it that each process has a certificate for the hosts that is good for a while.

        Names that a certificate already has are kept. The authority itself is made at the first
        time.
        """
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder.chmod(0o700)
        if not self.certificate_file.exists():
            self._found()
        wanted = tuple(str(_general_name(host).value) for host in hosts)
        return [self._certified(process, wanted, anew=anew) for process in PROCESSES]

    def _found(self) -> None:
        key, name = ec.generate_private_key(ec.SECP256R1()), _name("Tweezer private authority")
        certificate = (
            _builder(name, name, key.public_key(), _AUTHORITY_LIFE)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs=True), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
            .sign(key, hashes.SHA256())
        )
        _write(self.key_file, _key_text(key))
        _write(self.certificate_file, _text(certificate))
        self.certificate_file.chmod(0o644)  # clients need it

    def _certified(self, process: str, hosts: tuple[str, ...], *, anew: bool) -> Certified:
        file = self._folder / f"{process}.pem"
        old = _read(file)
        had = () if old is None else _hosts(old)
        names = tuple(dict.fromkeys((*_HERE, *had, *hosts)))
        if old is not None and not anew and names == had and self._signed(old) and _lasts(old):
            return Certified(process, file, had, old.not_valid_after_utc, made=False)
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._sign(process, names, key.public_key())
        # One file, so that nobody ever reads a key and a certificate that do not fit.
        _write(file, _key_text(key) + _text(certificate))
        return Certified(process, file, names, certificate.not_valid_after_utc, made=True)

    def _sign(
        self, process: str, hosts: Collection[str], key: ec.EllipticCurvePublicKey
    ) -> x509.Certificate:
        authority = x509.load_pem_x509_certificate(self.certificate_file.read_bytes())
        try:
            signing = serialization.load_pem_private_key(self.key_file.read_bytes(), None)
        except FileNotFoundError:
            raise CannotCertify(
                f"{self.key_file} is not here: put the key of the authority back, or begin a new "
                "one in another folder"
            ) from None
        assert isinstance(signing, ec.EllipticCurvePrivateKey)
        names = [*map(_general_name, hosts), x509.UniformResourceIdentifier(PROCESS_URI + process)]
        uses = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        return (
            _builder(_name(f"tweezer {process}"), authority.subject, key, _LIFE)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()),
                critical=False,
            )
            .sign(signing, hashes.SHA256())
        )

    def _signed(self, certificate: x509.Certificate) -> bool:
        authority = x509.load_pem_x509_certificate(self.certificate_file.read_bytes())
        try:
            certificate.verify_directly_issued_by(authority)
        except Exception:  # noqa: BLE001 - whatever is wrong with it, it is not ours
            return False
        return True


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, life: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + life)
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        pass
    try:
        return x509.DNSName(host.encode("idna").decode("ascii"))
    except ValueError:
        raise CannotCertify(f"{host!r} is neither a host name nor an address") from None


def _hosts(certificate: x509.Certificate) -> tuple[str, ...]:
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    kinds = (x509.DNSName, x509.IPAddress)
    return tuple(str(name.value) for name in found if isinstance(name, kinds))


def _lasts(certificate: x509.Certificate) -> bool:
    return certificate.not_valid_after_utc - datetime.now(UTC) > _RENEW


def _read(file: Path) -> x509.Certificate | None:
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return None
    _, mark, rest = content.partition(_CERTIFICATE)
    return x509.load_pem_x509_certificate(mark + rest)


def _key_text(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _text(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _write(file: Path, content: bytes) -> None:
    """Replaces a file as a whole, readable by its owner only."""
    descriptor, draft = tempfile.mkstemp(dir=file.parent)  # mode 0600
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
        os.replace(draft, file)
    except BaseException:
        os.unlink(draft)
        raise
