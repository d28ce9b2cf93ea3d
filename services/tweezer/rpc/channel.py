"""Opens gRPC channels between our own processes."""

import json
from collections.abc import Callable
from typing import Any, Final

import grpc

from tweezer.process import propagation
from tweezer.process.channels import (
    LOAD_BALANCING,
    REPEATED_AFTER,
    channel_options,
    open_channel,
    open_mutual_channel,
)
from tweezer.rpc.service_key import SCHEME
from tweezer.rpc.settings import RpcSettings

#: Deadline of an internal call that names none, in seconds.
DEFAULT_DEADLINE: Final = 30.0

_SERVICE_CONFIG: Final = json.dumps(
    {
        **LOAD_BALANCING,
        "methodConfig": [
            {
                # Internal calls can be repeated: each says the whole of what should be so. gRPC
                # draws each wait at random around the value.
                "name": [{}],
                "retryPolicy": {
                    "maxAttempts": 4,
                    "initialBackoff": "0.05s",
                    "maxBackoff": "1s",
                    "backoffMultiplier": 3,
                    "retryableStatusCodes": [code.name for code in REPEATED_AFTER],
                },
            }
        ],
    }
)


def open_service_channel(settings: RpcSettings, address: str) -> grpc.aio.Channel:
    """Opens a channel for internal calls: it shows our certificate, or has the key on each call."""
    options = [
        *channel_options(settings, settings.max_message_bytes),
        ("grpc.service_config", _SERVICE_CONFIG),
    ]
    tls = settings.tls
    if tls.mutual is None:
        calls = _ServiceCalls(settings.service_keys.read()[0])
        return open_channel(address, tls.authority, options=options, interceptors=[calls])
    return open_mutual_channel(
        address, tls.mutual, options=options, interceptors=[_ServiceCalls(None)]
    )


class _ServiceCalls(grpc.aio.UnaryUnaryClientInterceptor):
    """Adds the key if there is one, whose request it is for, and a deadline if a call has none."""

    def __init__(self, key: str | None) -> None:
        self._credential = () if key is None else (("authorization", f"{SCHEME} {key}"),)

    async def intercept_unary_unary(
        self,
        continuation: Callable[[grpc.aio.ClientCallDetails, Any], Any],
        client_call_details: grpc.aio.ClientCallDetails,
        request: Any,
    ) -> Any:
        """Completes the details of a call."""
        metadata = client_call_details.metadata or grpc.aio.Metadata()
        for key, value in (*self._credential, *propagation.metadata()):
            metadata.add(key, value)
        details = grpc.aio.ClientCallDetails(
            method=client_call_details.method,
            timeout=client_call_details.timeout or DEFAULT_DEADLINE,
            metadata=metadata,
            credentials=client_call_details.credentials,
            wait_for_ready=client_call_details.wait_for_ready,
        )
        return await continuation(details, request)
