"""Where messages may go: web servers, and public addresses only unless the settings allow others.

Users name the targets, and this machine can reach more than they can. So the address is checked
where the connection is opened: a name that is looked up twice can give two answers.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import urlsplit

import httpcore

#: Longest URL, in characters; what browsers and servers agree on.
MAX_URL_LENGTH: Final = 2048

#: Longest name of a host, in characters.
_LONGEST_HOST: Final = 253

_PORTS: Final = {"http": 80, "https": 443}

#: Ranges whose addresses contain an IPv4 address that is where the packets end up.
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")


class TargetRefused(Exception):
    """Nothing is ever sent there; the text says why."""


def check_url(url: str, *, allow_private: bool) -> None:
    """Raises TargetRefused unless messages may go to this URL, as far as it alone can tell."""
    if len(url) > MAX_URL_LENGTH:
        raise TargetRefused(f"must have at most {MAX_URL_LENGTH} characters")
    try:
        parts = urlsplit(url)
        known = parts.scheme in _PORTS and bool(parts.hostname) and parts.port != 0
    except ValueError:
        known = False
    if not known or any(character.isspace() or not character.isprintable() for character in url):
        raise TargetRefused("must be a URL that starts with http:// or https://")
    if not url.isascii():
        raise TargetRefused("must be written in ASCII, as xn-- in the name and %.. after it")
    if "@" in parts.netloc:
        raise TargetRefused("must not contain a user name or a password")
    host = parts.hostname or ""
    if ":" not in host and not _is_name(host):
        raise TargetRefused("must name a host whose parts have 1 to 63 characters")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        if not allow_private and f".{host.removesuffix('.')}".endswith(".localhost"):
            raise TargetRefused("must not name this machine") from None
        return
    if not allow_private and not is_public(address):
        raise TargetRefused(f"must not name the address {address}, which is not public")


def _is_name(host: str) -> bool:
    labels = host.removesuffix(".").split(".")
    return len(host) <= _LONGEST_HOST and all(1 <= len(label) <= 63 for label in labels)


def target_of(url: str) -> str:
    """Returns the server that a URL names: scheme, host and port."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}:{parts.port or _PORTS[parts.scheme]}"


def is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Says whether an address is one of the public Internet."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
        if inner is not None:
            return is_public(inner)
    return address.is_global and not address.is_multicast


class CheckedNetwork(httpcore.AsyncNetworkBackend):
    """Opens connections to allowed addresses only."""

    def __init__(self, *, allow_private: bool) -> None:
        self._allow_private = allow_private
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the signature is httpcore's
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connects to the first address of a host that answers; none of them may be refused."""
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in await self._addresses(host, port):
            try:
                return await self._network.connect_tcp(
                    address, port, timeout, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    async def _addresses(self, host: str, port: int) -> list[str]:
        try:
            found = await asyncio.get_running_loop().getaddrinfo(
                host, port, type=socket.SOCK_STREAM
            )
        except OSError as error:
            raise httpcore.ConnectError(f"{host} cannot be looked up: {error.strerror}") from None
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        for address in addresses:
            if not self._allow_private and not is_public(ipaddress.ip_address(address)):
                raise TargetRefused(f"{host} is at {address}, which is not a public address")
        return addresses

    async def sleep(self, seconds: float) -> None:
        """Waits, for httpcore."""
        await asyncio.sleep(seconds)
