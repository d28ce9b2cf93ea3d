"""Channels and stubs of the services behind the gateway: one channel per process."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

import grpc
from google.protobuf.descriptor import FileDescriptor
from grpc_health.v1.health_pb2_grpc import HealthStub

from tweezer.gateway.settings import GatewaySettings
from tweezer.process.channels import LOAD_BALANCING, REPEATED_AFTER, channel_options, open_channel
from tweezer.v1 import (
    account_service_pb2,
    batch_service_pb2,
    device_service_pb2,
    job_service_pb2,
)
from tweezer.v1.account_service_pb2_grpc import AccountServiceStub
from tweezer.v1.batch_service_pb2_grpc import BatchServiceStub
from tweezer.v1.device_service_pb2_grpc import DeviceServiceStub
from tweezer.v1.job_service_pb2_grpc import JobServiceStub

_SERVICE_FILES: Final[tuple[FileDescriptor, ...]] = (
    account_service_pb2.DESCRIPTOR,
    batch_service_pb2.DESCRIPTOR,
    device_service_pb2.DESCRIPTOR,
    job_service_pb2.DESCRIPTOR,
)


@dataclass(frozen=True, slots=True)
class Stubs:
    """Everything the gateway can call."""

    accounts: AccountServiceStub
    batches: BatchServiceStub
    devices: DeviceServiceStub
    jobs: JobServiceStub
    batch_health: HealthStub
    job_health: HealthStub


@asynccontextmanager
async def open_stubs(settings: GatewaySettings) -> AsyncIterator[Stubs]:
    """Opens the channels; they connect on the first call and again whenever a service restarts."""
    async with AsyncExitStack() as stack:
        batch = await stack.enter_async_context(_channel(settings, settings.batch_address))
        job = await stack.enter_async_context(_channel(settings, settings.job_address))
        yield Stubs(
            accounts=AccountServiceStub(batch),
            batches=BatchServiceStub(batch),
            devices=DeviceServiceStub(batch),
            jobs=JobServiceStub(job),
            batch_health=HealthStub(batch),
            job_health=HealthStub(job),
        )


def _channel(settings: GatewaySettings, address: str) -> grpc.aio.Channel:
    return open_channel(
        address,
        settings.tls.authority,
        options=[
            *channel_options(settings, settings.max_message_bytes),
            ("grpc.service_config", _service_config()),
        ],
    )


def _service_config() -> str:
    """Returns how calls are made: to each replica in turn, and reads again while one restarts.

    Writes are never repeated. The public client gives up on the first 503, so a restart must not
    reach it.
    """
    return json.dumps(
        {
            **LOAD_BALANCING,
            "methodConfig": [
                {
                    "name": _reads(),
                    "retryPolicy": {
                        "maxAttempts": 5,
                        "initialBackoff": "0.1s",
                        "maxBackoff": "1s",
                        "backoffMultiplier": 2,
                        "retryableStatusCodes": [code.name for code in REPEATED_AFTER],
                    },
                }
            ],
        }
    )


def _reads() -> list[dict[str, str]]:
    return [
        {"service": service.full_name, "method": method.name}
        for file in _SERVICE_FILES
        for service in file.services_by_name.values()
        for method in service.methods
        if method.name.startswith(("Get", "List"))
    ]
