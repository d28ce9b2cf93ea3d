"""How a process of ours connects to another by gRPC."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import grpc

from tweezer.process.addresses import is_several, target_of
from tweezer.process.certificates import read_authority, read_certificate
from tweezer.process.run import StartFailed
from tweezer.process.settings import ProcessSettings
from tweezer.process.tls import Mutual

#: For the service config of every channel: where an address stands for several replicas, as
#: `10.0.0.1:8001,10.0.0.2:8001` or a name with several addresses does, calls go to each in turn,
#: and to those only that are there.
LOAD_BALANCING: Final[dict[str, Any]] = {"loadBalancingConfig": [{"round_robin": {}}]}

#: What a call that may be made again is made again after: the service is away, or it stops and
#: cancels the calls that it has not begun to serve.
REPEATED_AFTER: Final = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)

#: The option with the name that certificates must have, in place of the host of the address.
_SERVER_NAME: Final = "grpc.default_authority"


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
            target_of(address), options=list(options), interceptors=list(interceptors)
        )
    credentials = grpc.ssl_channel_credentials(read_authority(authority))
    return _secure_channel(address, credentials, options, interceptors)


def open_mutual_channel(
    address: str,
    mutual: Mutual,
    *,
    options: Sequence[tuple[str, Any]] = (),
    interceptors: Sequence[grpc.aio.ClientInterceptor] = (),
) -> grpc.aio.Channel:
    """Opens a channel on which a process shows another who it is."""
    key, chain = read_certificate(mutual.own)
    credentials = grpc.ssl_channel_credentials(read_authority(mutual.authority), key, chain)
    return _secure_channel(address, credentials, options, interceptors)


def _secure_channel(
    address: str,
    credentials: grpc.ChannelCredentials,
    options: Sequence[tuple[str, Any]],
    interceptors: Sequence[grpc.aio.ClientInterceptor],
) -> grpc.aio.Channel:
    # Without it gRPC would look for the whole list among the names of the certificates.
    if is_several(address) and _SERVER_NAME not in dict(options):
        raise StartFailed(
            f"calling several replicas ({address}) by TLS needs TWEEZER_TLS_SERVER_NAME, a name "
            "that the certificates of all of them have"
        )
    return grpc.aio.secure_channel(
        target_of(address), credentials, options=list(options), interceptors=list(interceptors)
    )


def channel_options(settings: ProcessSettings, max_message_bytes: int) -> list[tuple[str, Any]]:
    """Returns the options of every channel.

    A neighbour that is there but does not answer, because it was stopped or its network is gone, is
    noticed by pings: the calls to it fail within `keepalive_s + keepalive_timeout_s`.
    """
    named = [] if settings.tls_server_name is None else [(_SERVER_NAME, settings.tls_server_name)]
    return [
        *named,
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", max_message_bytes),
        # A restarted neighbour is found again before the calls that are tried again give up. The
        # minimum is, in spite of its name, how long one attempt to connect may take.
        ("grpc.initial_reconnect_backoff_ms", 50),
        ("grpc.min_reconnect_backoff_ms", 5000),
        ("grpc.max_reconnect_backoff_ms", 250),
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
