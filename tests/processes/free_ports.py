"""Finds ports for processes that are started by hand."""

import socket
from typing import Final

#: Bound until the tests end, and never listened on: a process can still listen on the port, but no
#: connection to elsewhere is given it as its own, as happens to a port that nobody holds.
_HELD: Final[list[socket.socket]] = []


def free_ports(number: int) -> list[int]:
    """Returns ports of this machine that nobody uses, all different."""
    return [free_port() for _ in range(number)]


def free_port() -> int:
    """Returns a port of this machine that nobody uses."""
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", 0))
    _HELD.append(held)
    return int(held.getsockname()[1])
