"""Puts the job service together, runs it and takes it apart."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import grpc
import structlog

from tweezer.database.database import Database
from tweezer.database.migrations import upgrade
from tweezer.database.sqlite import SqliteDatabase, create_sqlite_engine
from tweezer.database.timestamps import Clock, now_micros
from tweezer.internal.v1 import lease_service_pb2, queue_service_pb2
from tweezer.internal.v1.lease_service_pb2_grpc import add_LeaseServiceServicer_to_server
from tweezer.internal.v1.program_service_pb2_grpc import ProgramServiceStub
from tweezer.internal.v1.progress_service_pb2_grpc import ProgressServiceStub
from tweezer.internal.v1.queue_service_pb2_grpc import add_QueueServiceServicer_to_server
from tweezer.job.addition_loop import AdditionLoop
from tweezer.job.cancelling import Cancelling
from tweezer.job.expiry_loop import ExpiryLoop
from tweezer.job.lease_servicer import LeaseServicer
from tweezer.job.leasing import Leasing
from tweezer.job.programs import Programs
from tweezer.job.progress_loop import ProgressLoop
from tweezer.job.queue_servicer import QueueServicer
from tweezer.job.queueing import Queueing
from tweezer.job.reading import Reading
from tweezer.job.results import ResultStore
from tweezer.job.servicer import JobServicer
from tweezer.job.settings import JobSettings
from tweezer.job.signals import Signals
from tweezer.job.store import leases
from tweezer.job.tickets import TicketOffice
from tweezer.process.run import background
from tweezer.rpc.channel import open_service_channel
from tweezer.rpc.server import build_server, start_server
from tweezer.v1 import job_service_pb2
from tweezer.v1.job_service_pb2_grpc import add_JobServiceServicer_to_server

log = structlog.get_logger(__name__)

MIGRATIONS: Final = Path(__file__).parent / "migrations"

_SERVICES: Final = (
    job_service_pb2.DESCRIPTOR.services_by_name["JobService"].full_name,
    queue_service_pb2.DESCRIPTOR.services_by_name["QueueService"].full_name,
    lease_service_pb2.DESCRIPTOR.services_by_name["LeaseService"].full_name,
)

#: How long calls may take to end when the process is asked to, in seconds.
_STOP_GRACE_S: Final = 5.0


async def serve(
    settings: JobSettings,
    stop: asyncio.Event,
    on_started: Callable[[int], None] = lambda port: None,
    clock: Clock = now_micros,
) -> None:
    """Runs the service until `stop` is set; `on_started` gets the port it listens on."""
    server = build_server(settings)  # makes the service key that the channel reads
    signals = Signals(clock)
    async with (
        _database(settings) as database,
        open_service_channel(settings, settings.batch_address) as channel,
    ):
        results = ResultStore.in_folder(settings.results_dir)
        leasing = Leasing(database, results, signals, clock, settings.max_attempts)
        _add_services(
            server,
            JobServicer(
                Reading(database),
                Cancelling(database, signals, clock, settings.cancel_wait_s),
                Programs(ProgramServiceStub(channel)),
                results,
                TicketOffice.with_key_file(
                    settings.result_ticket_key_file, settings.result_link_lifetime_s
                ),
            ),
            QueueServicer(Queueing(database, signals, clock), clock, settings.addition_grace_s),
            LeaseServicer(leasing),
        )
        await _spare_leases(database, clock() + round(settings.lease_grace_s * 1_000_000))
        progress = ProgressServiceStub(channel)
        # The server ends before the loops do: what its last calls change is still reported.
        async with (
            background(
                progress=ProgressLoop(
                    database, progress, signals.progress, settings.progress_interval_s
                ).run(),
                expiry=ExpiryLoop(database, leasing, signals.lease_end).run(),
                additions=AdditionLoop(
                    database,
                    progress,
                    signals.addition_check,
                    signals.jobs_ready,
                    clock,
                    settings.addition_grace_s,
                ).run(),
            ),
            _listening(server, settings.job_listen, signals) as port,
        ):
            on_started(port)
            await stop.wait()


def _add_services(
    server: grpc.aio.Server, jobs: JobServicer, queue: QueueServicer, leases: LeaseServicer
) -> None:
    add_JobServiceServicer_to_server(jobs, server)
    add_QueueServiceServicer_to_server(queue, server)
    add_LeaseServiceServicer_to_server(leases, server)


@asynccontextmanager
async def _database(settings: JobSettings) -> AsyncIterator[SqliteDatabase]:
    """Opens the database, brought up to date."""
    engine = create_sqlite_engine(settings.job_database_file)
    upgrade(engine, MIGRATIONS)
    engine.dispose()
    database = SqliteDatabase(settings.job_database_file)
    try:
        yield database
    finally:
        await database.close()


async def _spare_leases(database: Database, until: int) -> None:
    """Leaves workers the time to renew leases that ran out while this process was away.

    Their work goes on meanwhile; that nobody could take their renewals must not cost an attempt.
    """
    await database.write(lambda c: leases.postpone_expiry(c, until))


@asynccontextmanager
async def _listening(server: grpc.aio.Server, address: str, signals: Signals) -> AsyncIterator[int]:
    """Serves calls; at the end those that wait for something are answered before the others end."""
    port = await start_server(server, address, _SERVICES)
    log.info("listening", address=address, port=port)
    try:
        yield port
    finally:
        signals.close()
        await server.stop(_STOP_GRACE_S)
