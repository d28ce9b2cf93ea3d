"""Waits until a process serves."""

import asyncio
import ssl
from pathlib import Path
from typing import Any, Final

import grpc
import httpx
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tweezer.process.channels import open_channel

_RETRY: Final = 0.05


async def grpc_ready(address: str, authority: Path | None = None) -> None:
    """Returns when the gRPC server at the address says that it serves."""
    options = [
        ("grpc.initial_reconnect_backoff_ms", 50),
        ("grpc.min_reconnect_backoff_ms", 5000),
        ("grpc.max_reconnect_backoff_ms", 250),
    ]
    async with open_channel(address, authority, options=options) as channel:
        # The published stubs do not know the asynchronous call.
        stub: Any = health_pb2_grpc.HealthStub(channel)
        while True:
            try:
                answer = await stub.Check(health_pb2.HealthCheckRequest(), wait_for_ready=True)
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
            else:
                if answer.status == health_pb2.HealthCheckResponse.SERVING:
                    return
            await asyncio.sleep(_RETRY)  # it listens, and is not yet or not any more there


async def http_ready(url: str, authority: Path | None = None) -> None:
    """Returns when the address answers that all is well.

    HTTP has no call that waits for a server, so this asks again and again.
    """
    trusted = True if authority is None else ssl.create_default_context(cafile=authority)
    async with httpx.AsyncClient(trust_env=False, verify=trusted) as client:
        while True:
            try:
                if (await client.get(url)).is_success:
                    return
            except httpx.TransportError:
                pass  # it does not listen yet
            await asyncio.sleep(_RETRY)
