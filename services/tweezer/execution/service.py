"""Assembles the execution service."""

import asyncio

from tweezer.execution.emulators.registry import EMULATORS
from tweezer.execution.engines.engine import Engine, EngineError
from tweezer.execution.engines.local import LocalEngine
from tweezer.execution.lease_loop import LeaseLoop
from tweezer.execution.programs import Programs
from tweezer.execution.settings import ExecutionSettings
from tweezer.internal.v1.lease_service_pb2_grpc import LeaseServiceStub
from tweezer.internal.v1.program_service_pb2_grpc import ProgramServiceStub
from tweezer.process.run import StartFailed
from tweezer.process.telemetry import telemetry_of
from tweezer.rpc.channel import open_service_channel
from tweezer.rpc.server import build_server, start_server


def build_engine(settings: ExecutionSettings) -> Engine:
    """Returns the engine that the settings ask for, not started."""
    return LocalEngine(
        settings.execution_workers,
        max_memory_bytes=settings.execution_worker_memory_bytes,
        emulators={device: EMULATORS[device] for device in settings.execution_device_types},
    )


async def serve(settings: ExecutionSettings, stop: asyncio.Event) -> None:
    """Runs jobs until `stop` is set."""
    try:
        async with build_engine(settings) as engine:
            await _serve_health_and_jobs(settings, engine, stop)
    except EngineError as error:
        raise StartFailed(str(error)) from error


async def _serve_health_and_jobs(
    settings: ExecutionSettings, engine: Engine, stop: asyncio.Event
) -> None:
    async with telemetry_of("execution", settings, settings.execution_metrics_listen) as telemetry:
        health = build_server(settings, telemetry)
        await start_server(health, settings.execution_listen, [], tls=settings.tls)
        try:
            async with (
                open_service_channel(settings, settings.job_internal) as jobs,
                open_service_channel(settings, settings.batch_internal) as batches,
            ):
                programs = Programs(ProgramServiceStub(batches))
                service = LeaseServiceStub(jobs)
                await LeaseLoop(settings, service, programs, engine, telemetry).run(stop)
        finally:
            await health.stop(None)
