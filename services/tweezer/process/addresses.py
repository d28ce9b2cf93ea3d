"""What an address of the settings means to gRPC."""

from ipaddress import ip_address
from urllib.parse import urlsplit

from tweezer.process.run import StartFailed


def target_of(address: str) -> str:
    """Returns the target of a channel.

    Several replicas may be given as `10.0.0.1:8001,10.0.0.2:8001`; whatever else gRPC understands,
    `dns:///NAME:PORT` for example, is passed on.
    """
    if "," not in address or address.startswith(("ipv4:", "ipv6:", "unix:", "dns:", "xds:")):
        return address
    replicas = [each.strip() for each in address.split(",")]
    versions = {_version(each) for each in replicas}
    if versions == {4}:
        return f"ipv4:{','.join(replicas)}"
    if versions == {6}:
        return f"ipv6:{','.join(replicas)}"
    raise StartFailed(
        f"cannot use the address {address}: several must be IP addresses of one kind, each with "
        "its port; for names use dns:///NAME:PORT with a name that has all the addresses"
    )


def is_several(address: str) -> bool:
    """Says whether an address lists replicas, so that no host name can be taken from it."""
    return "," in address


def _version(replica: str) -> int | None:
    """Returns the version of an IP address with a port, or None for anything else."""
    try:
        parts = urlsplit(f"//{replica}")
        return None if parts.port is None else ip_address(parts.hostname or "").version
    except ValueError:
        return None
