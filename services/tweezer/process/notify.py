"""Tells whoever started this process that it serves, by the protocol of systemd's `sd_notify`."""

import os
import socket

import structlog

log = structlog.get_logger(__name__)

#: Where to tell it; systemd sets it for units of `Type=notify`, and `tweezer up` for its processes.
VARIABLE = "NOTIFY_SOCKET"


def tell_ready() -> None:
    """Says once that this process serves, if anybody wants to know."""
    address = os.environ.pop(VARIABLE, None)
    if not address:
        return
    if address.startswith("@"):  # a name without a file, as Linux has them
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notice:
            notice.connect(address)
            notice.send(b"READY=1")
    except OSError as error:
        log.warning("nobody could be told that this process serves", error=str(error))
