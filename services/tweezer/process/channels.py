"""How a process of ours connects to another by gRPC."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import grpc

from tweezer.process.certificates import read_authority, read_certificate
from tweezer.process.settings import ProcessSettings
from tweezer.process.tls import Mutual

#: For the service config of every channel: where an address stands for several replicas, as
#: `ipv4:10.0.0.1:8001,10.0.0.2:8001` or a name with several addresses does, calls go to each in
#: turn, and to those only that are there.
LOAD_BALANCING: Final[dict[str, Any]] = {"loadBalancingConfig": [{"round_robin": {}}]}


def open_channel(
    address: str,
    authority: Path | None,
    *,
    options: Sequence[tuple[str, Any]] = (),
    interceptors: Sequence[grpc.aio.ClientInterceptor] = (),
) -> grpc.aio.Channel:
    """Opens a channel for calls as clients make them, by TLS where there is an authority."""
    if authority is None:
        return grpc.aio.insecure_channel(
            address, options=list(options), interceptors=list(interceptors)
        )
    credentials = grpc.ssl_channel_credentials(read_authority(authority))
    return grpc.aio.secure_channel(
        address, credentials, options=list(options), interceptors=list(interceptors)
    )


def mutual_credentials(mutual: Mutual) -> grpc.ChannelCredentials:
    """Returns with what a process shows another who it is."""
    key, chain = read_certificate(mutual.own)
    return grpc.ssl_channel_credentials(read_authority(mutual.authority), key, chain)


def channel_options(settings: ProcessSettings, max_message_bytes: int) -> list[tuple[str, int]]:
    """Returns the options of every channel.

    A neighbour that is there but does not answer, because it was stopped or its network is gone, is
    noticed by pings: the calls to it fail within `keepalive_s + keepalive_timeout_s`.
    """
    return [
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", max_message_bytes),
        # A restarted neighbour is found again within a fraction of a second.
        ("grpc.initial_reconnect_backoff_ms", 50),
        ("grpc.min_reconnect_backoff_ms", 50),
        ("grpc.max_reconnect_backoff_ms", 1000),
        ("grpc.keepalive_time_ms", _ms(settings.keepalive_s)),
        ("grpc.keepalive_timeout_ms", _ms(settings.keepalive_timeout_s)),
        # However long an answer takes; otherwise the second ping would be the last.
        ("grpc.http2.max_pings_without_data", 0),
    ]


def server_keepalive_options(settings: ProcessSettings) -> list[tuple[str, int]]:
    """Returns the options with which a server notices dead callers and bears with pings."""
    return [
        ("grpc.keepalive_time_ms", _ms(settings.keepalive_s)),
        ("grpc.keepalive_timeout_ms", _ms(settings.keepalive_timeout_s)),
        ("grpc.http2.max_pings_without_data", 0),
        # By default a server breaks a connection with more than one ping in five minutes.
        ("grpc.http2.min_ping_interval_without_data_ms", _ms(settings.keepalive_s / 2)),
        ("grpc.http2.max_ping_strikes", 0),
    ]


def _ms(seconds: float) -> int:
    return round(1000 * seconds)
