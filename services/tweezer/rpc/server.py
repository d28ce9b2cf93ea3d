"""Builds and starts gRPC servers."""

from collections.abc import Sequence

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from tweezer.process.run import StartFailed
from tweezer.rpc.guard import CallGuard
from tweezer.rpc.identity import TokenVerifier
from tweezer.rpc.service_key import ensure_service_key, read_service_key
from tweezer.rpc.settings import RpcSettings


def build_server(settings: RpcSettings) -> grpc.aio.Server:
    """Returns a server without services, behind the guard."""
    ensure_service_key(settings.service_key_file)
    guard = CallGuard(
        TokenVerifier(settings.jwks_file, settings.token_issuer, settings.token_audience),
        read_service_key(settings.service_key_file),
    )
    return grpc.aio.server(
        interceptors=[guard],
        options=[
            ("grpc.max_receive_message_length", settings.max_message_bytes),
            ("grpc.max_send_message_length", settings.max_message_bytes),
            # Otherwise a second server could bind the same port and take half of the calls.
            ("grpc.so_reuseport", 0),
        ],
    )


async def start_server(server: grpc.aio.Server, address: str, service_names: Sequence[str]) -> int:
    """Adds health and reflection, starts the server and returns its port."""
    servicer = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    reflection.enable_server_reflection(
        [*service_names, health.SERVICE_NAME, reflection.SERVICE_NAME], server
    )
    try:
        port = server.add_insecure_port(address)
    except RuntimeError:
        raise StartFailed(
            f"cannot listen on {address}: is another program, or another tweezer, using it?"
        ) from None
    await server.start()
    for name in ("", *service_names):
        await servicer.set(name, health_pb2.HealthCheckResponse.SERVING)
    return port
