"""What a gRPC server shows to whoever connects; renewed certificates are taken up as they come."""

import grpc

from tweezer.process.certificates import Renewed, read_authority, read_certificate
from tweezer.process.tls import CertificateFiles, Mutual, Tls


def client_port_credentials(tls: Tls) -> grpc.ServerCredentials | None:
    """Returns what is shown to clients, or None where they are not served by TLS."""
    return None if tls.own is None else _credentials(tls.own, None)


def internal_port_credentials(mutual: Mutual) -> grpc.ServerCredentials:
    """Returns what is shown to our other processes, who must show their certificates as well.

    gRPC either demands a certificate or does not ask for one, hence the two ports.
    """
    return _credentials(mutual.own, read_authority(mutual.authority))


def _credentials(files: CertificateFiles, authority: bytes | None) -> grpc.ServerCredentials:
    renewed = Renewed(files)
    first = _configuration(*read_certificate(files), authority)

    def newest() -> grpc.ServerCertificateConfiguration | None:
        """Returns the certificate if it is a new one; asked at each connection."""
        found: list[grpc.ServerCertificateConfiguration] = []
        renewed.when_changed(lambda key, chain: found.append(_configuration(key, chain, authority)))
        return found[0] if found else None

    return grpc.dynamic_ssl_server_credentials(
        first,
        newest,  # type: ignore[arg-type] # None, which the stubs do not know, keeps the present one
        require_client_authentication=authority is not None,
    )


def _configuration(
    key: bytes, chain: bytes, authority: bytes | None
) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(key, chain)], root_certificates=authority)
