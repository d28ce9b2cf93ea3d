"""TLS of the HTTP server."""

import ssl
from typing import Final

from tweezer.process.certificates import Renewed, read_certificate
from tweezer.process.tls import CertificateFiles

#: What we speak, for clients that can choose the protocol.
_PROTOCOLS: Final = ["http/1.1"]


def server_context(files: CertificateFiles) -> ssl.SSLContext:
    """Returns what is shown to clients; a renewed certificate is taken up as it comes."""
    read_certificate(files)  # says clearly what is wrong with it
    renewed = Renewed(files)
    newest = _context(files)

    def choose(connection: ssl.SSLObject, _: str | None, __: ssl.SSLContext) -> None:
        """Gives a connection that begins the newest certificate."""
        nonlocal newest

        def take(_: bytes, __: bytes) -> None:
            nonlocal newest
            newest = _context(files)

        renewed.when_changed(take)
        connection.context = newest

    first = _context(files)
    first.sni_callback = choose
    return first


def _context(files: CertificateFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(_PROTOCOLS)
    context.load_cert_chain(files.certificate, files.key)
    return context
