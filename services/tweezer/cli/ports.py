"""Chooses, checks and keeps the ports of a stack, before anything is started."""

import errno
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Final

from tweezer.cli.failure import Failure


class CannotListen(Failure):
    """An address is taken or impossible; the text names the option to change."""


#: Listening on these means on every address; one cannot connect to them.
_EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # nosec B104 # recognises it, and binds to nothing

#: Whether a port that is bound here, and not listened on, can still be listened on by a child.
_CAN_HOLD: Final = sys.platform == "linux"


@contextmanager
def hold_ports(wanted: Mapping[str, tuple[str, int]]) -> Iterator[dict[str, int]]:
    """Yields a port for each option, given as host and port; 0 becomes a free one.

    While the body runs, our processes can listen on them, again and again, but no connection to
    elsewhere is given one of them as its own port: that would keep a process from starting.
    """
    with ExitStack() as held:
        chosen: dict[str, int] = {}
        for option, (host, port) in wanted.items():
            if port and (host, port) in ((wanted[other][0], n) for other, n in chosen.items()):
                raise _in_use(port, option)
            chosen[option] = _hold(held, host, port, option)
        if not _CAN_HOLD:
            held.close()
        yield chosen


def is_everywhere(host: str) -> bool:
    """Tells whether listening on a host means listening on every address."""
    return host in _EVERYWHERE


def address(host: str, port: int) -> str:
    """Returns the address to listen on."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def local_address(host: str, port: int) -> str:
    """Returns the address to connect to from this machine."""
    return address(_EVERYWHERE.get(host, host), port)


def _hold(held: ExitStack, host: str, port: int, option: str) -> int:
    holder = held.enter_context(_bound(host, port, option))
    chosen: int = holder.getsockname()[1]
    if _CAN_HOLD:
        with _bound(host, chosen, option) as probe:
            _listen(probe, host, chosen, option)
    else:
        _listen(holder, host, chosen, option)
    return chosen


def _bound(host: str, port: int, option: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    # As servers do: a port whose last connections are still closing is not taken.
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise _cannot_listen(error, host, port, option) from None
    return bound


def _listen(bound: socket.socket, host: str, port: int, option: str) -> None:
    try:
        bound.listen()
    except OSError as error:
        raise _cannot_listen(error, host, port, option) from None


def _cannot_listen(error: OSError, host: str, port: int, option: str) -> CannotListen:
    if error.errno == errno.EADDRINUSE:
        return _in_use(port, option)
    if error.errno == errno.EACCES:
        return CannotListen(f"port {port} needs more rights: choose another with {option}")
    return CannotListen(f"cannot listen on --host {host}: {error.strerror or error}")


def _in_use(port: int, option: str) -> CannotListen:
    return CannotListen(
        f"port {port} is in use: choose another with {option} (0 takes any free one)"
    )
