"""Where a log-in comes from."""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Final
from urllib.parse import unquote

from tweezer.rpc.context import Context
from tweezer.rpc.wrapping import metadata_of

#: Metadata with which a gateway says for which client it calls.
CLIENT_ADDRESS: Final = "x-tweezer-client-address"

_SCHEMES: Final = ("ipv4:", "ipv6:")


def origin_of(context: Context, gateways: Sequence[IPv4Network | IPv6Network]) -> str | None:
    """Returns the address of the client behind a call, or None when it is not known.

    Only gateways are believed when they name one: anybody else could name another each time.
    """
    peer = _peer(context.peer())
    if peer is None:
        return None
    if not any(ip_address(peer) in network for network in gateways):
        return peer
    return _address(metadata_of(context, CLIENT_ADDRESS) or "")


def _peer(peer: str) -> str | None:
    """Returns the address of `ipv4:10.0.0.1:4711` or `ipv6:%5B::1%5D:4711`."""
    if not peer.startswith(_SCHEMES):
        return None
    host, _, _ = unquote(peer.partition(":")[2]).rpartition(":")
    return _address(host.strip("[]"))


def _address(text: str) -> str | None:
    try:
        return str(ip_address(text))
    except ValueError:
        return None
