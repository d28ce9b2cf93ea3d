"""Builds, starts and stops gRPC servers."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from tweezer.process.channels import server_keepalive_options
from tweezer.process.notify import tell_ready
from tweezer.process.run import StartFailed, background
from tweezer.process.telemetry import Telemetry
from tweezer.process.tls import Tls
from tweezer.rpc.audit import AuditTrail
from tweezer.rpc.buckets import Buckets
from tweezer.rpc.call_limits import CallLimits
from tweezer.rpc.call_record import CallRecord
from tweezer.rpc.credentials import client_port_credentials, internal_port_credentials
from tweezer.rpc.generic_server import GenericServer
from tweezer.rpc.guard import CallGuard
from tweezer.rpc.health import Check, HealthLoop
from tweezer.rpc.internal_callers import ByCertificate, ByKey, InternalCallers
from tweezer.rpc.issuers import issuers_of
from tweezer.rpc.memberships import AskedMemberships, Memberships
from tweezer.rpc.settings import RpcSettings
from tweezer.rpc.verifier import TokenVerifier

_NO_TLS: Final = Tls()


def build_server(
    settings: RpcSettings,
    telemetry: Telemetry | None = None,
    memberships: Memberships | None = None,
) -> grpc.aio.Server:
    """Returns a server without services, behind the guard.

    `memberships` knows where users of an OIDC provider belong; without, the process that hosts the
    built-in issuer is asked.
    """
    guard = CallGuard(
        TokenVerifier(issuers_of(settings, memberships or AskedMemberships(settings))),
        _internal_callers(settings),
        Buckets(settings.user_calls_per_s, settings.user_calls_burst),
    )
    server = grpc.aio.server(
        # The first one is outermost.
        interceptors=[
            CallRecord(telemetry or Telemetry()),
            CallLimits(settings),
            guard,
            AuditTrail(),
        ],
        options=[
            ("grpc.max_receive_message_length", settings.max_message_bytes),
            ("grpc.max_send_message_length", settings.max_message_bytes),
            # Otherwise a second server could bind the same port and take half of the calls.
            ("grpc.so_reuseport", 0),
            *server_keepalive_options(settings),
            *_connection_life(settings),
        ],
    )
    return GenericServer(server)


def _connection_life(settings: RpcSettings) -> list[tuple[str, int]]:
    if settings.connection_life_s is None:
        return []
    # gRPC draws it at random around the value. Calls under way go on to their end.
    return [("grpc.max_connection_age_ms", round(1000 * settings.connection_life_s))]


def _internal_callers(settings: RpcSettings) -> InternalCallers:
    if settings.tls.mutual is not None:
        return ByCertificate()
    return ByKey(*settings.service_keys.read())


async def start_server(
    server: grpc.aio.Server,
    address: str,
    service_names: Sequence[str],
    *,
    tls: Tls = _NO_TLS,
    internal_address: str | None = None,
) -> int:
    """Adds health and reflection, starts the server and returns its port.

    With certificates for it, internal RPCs get a port of their own.
    """
    servicer, port = await _start(server, address, service_names, tls, internal_address)
    for name in ("", *service_names):
        await servicer.set(name, health_pb2.HealthCheckResponse.SERVING)
    tell_ready()
    return port


@asynccontextmanager
async def serving(
    server: grpc.aio.Server,
    settings: RpcSettings,
    address: str,
    service_names: Sequence[str],
    *,
    internal_address: str | None = None,
    check: Check,
    before_stop: Callable[[], None] = lambda: None,
) -> AsyncIterator[int]:
    """Serves while the body runs, as well as `check` says, and gives the port.

    With certificates for it, internal RPCs get a port of their own.

    At the end it says first that it does not serve any more; then `before_stop` is called, and the
    calls under way get `stop_grace_s` to end.
    """
    servicer, port = await _start(server, address, service_names, settings.tls, internal_address)
    loop = HealthLoop(
        servicer, service_names, check, settings.health_check_s, settings.health_patience_s
    )
    try:
        await loop.look()
        async with background(health=loop.run()):
            yield port
    finally:
        await servicer.enter_graceful_shutdown()
        before_stop()
        await server.stop(settings.stop_grace_s)


async def _start(
    server: grpc.aio.Server,
    address: str,
    service_names: Sequence[str],
    tls: Tls,
    internal_address: str | None,
) -> tuple[health.aio.HealthServicer, int]:
    servicer = health.aio.HealthServicer()
    # Until somebody says otherwise; left to itself it would say that it serves.
    for name in ("", *service_names):
        await servicer.set(name, health_pb2.HealthCheckResponse.NOT_SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    reflection.enable_server_reflection(
        [*service_names, health.SERVICE_NAME, reflection.SERVICE_NAME], server
    )
    port = _listen(server, address, client_port_credentials(tls))
    if internal_address is not None and tls.mutual is not None:
        _listen(server, internal_address, internal_port_credentials(tls.mutual))
    await server.start()
    return servicer, port


def _listen(
    server: grpc.aio.Server, address: str, credentials: grpc.ServerCredentials | None
) -> int:
    try:
        if credentials is None:
            return server.add_insecure_port(address)
        return server.add_secure_port(address, credentials)
    except RuntimeError:
        raise StartFailed(
            f"cannot listen on {address}: is another program, or another tweezer, using it?"
        ) from None
