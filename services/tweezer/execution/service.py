"""Assembles the execution service."""

import asyncio
from contextlib import AsyncExitStack

from tweezer.execution.engines.engine import EngineError
from tweezer.execution.lease_loop import LeaseLoop
from tweezer.execution.metrics import AttemptRecord
from tweezer.execution.programs import Programs
from tweezer.execution.settings import ExecutionSettings
from tweezer.execution.stations import Station, build_stations
from tweezer.internal.v1.lease_service_pb2_grpc import LeaseServiceStub
from tweezer.internal.v1.program_service_pb2_grpc import ProgramServiceStub
from tweezer.process.run import StartFailed
from tweezer.process.telemetry import telemetry_of
from tweezer.rpc.channel import open_service_channel
from tweezer.rpc.server import build_server, start_server


async def serve(settings: ExecutionSettings, stop: asyncio.Event) -> None:
    """Runs jobs until `stop` is set."""
    stations = build_stations(settings)
    try:
        async with AsyncExitStack() as engines:
            for station in stations:
                await engines.enter_async_context(station.engine)
            await _serve_health_and_jobs(settings, stations, stop)
    except EngineError as error:
        raise StartFailed(str(error)) from error


async def _serve_health_and_jobs(
    settings: ExecutionSettings, stations: list[Station], stop: asyncio.Event
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
                record = AttemptRecord(telemetry)
                # A loop for each: jobs that wait for one kind of worker must not keep those of
                # another kind from being leased.
                async with asyncio.TaskGroup() as group:
                    for station in stations:
                        own = settings.model_copy(
                            update={"execution_device_types": station.device_types}
                        )
                        loop = LeaseLoop(own, service, programs, station.engine, record)
                        group.create_task(loop.run(stop))
        finally:
            await health.stop(None)
