"""Chooses and checks the ports of a stack before anything is started."""

import errno
import socket
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Final

from tweezer.cli.failure import Failure


class CannotListen(Failure):
    """An address is taken or impossible; the text names the option to change."""


#: Listening on these means on every address; one cannot connect to them.
_EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # nosec B104 # recognises it, and binds to nothing


def choose_ports(wanted: Mapping[str, tuple[str, int]]) -> dict[str, int]:
    """Returns a port for each option, given as host and port; 0 becomes a free one.

    All ports are held until the last is found, so that no two are the same.
    """
    with ExitStack() as stack:
        chosen = {}
        for option, (host, port) in wanted.items():
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            listener = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
            # As servers do: a port whose last connections are still closing is not taken.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            _bind(listener, host, port, option)
            chosen[option] = listener.getsockname()[1]
        return chosen


def is_everywhere(host: str) -> bool:
    """Tells whether listening on a host means listening on every address."""
    return host in _EVERYWHERE


def address(host: str, port: int) -> str:
    """Returns the address to listen on."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def local_address(host: str, port: int) -> str:
    """Returns the address to connect to from this machine."""
    return address(_EVERYWHERE.get(host, host), port)


def _bind(listener: socket.socket, host: str, port: int, option: str) -> None:
    try:
        listener.bind((host, port))
        listener.listen()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise CannotListen(
                f"port {port} is in use: choose another with {option} (0 takes any free one)"
            ) from None
        if error.errno == errno.EACCES:
            raise CannotListen(
                f"port {port} needs more rights: choose another with {option}"
            ) from None
        raise CannotListen(f"cannot listen on --host {host}: {error.strerror or error}") from None
