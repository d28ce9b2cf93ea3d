"""Puts the job service together, runs it and takes it apart."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import grpc
import structlog

from tweezer.database.answering import check_answers
from tweezer.database.database import Database
from tweezer.database.migrations import upgrade_database
from tweezer.database.opening import open_database
from tweezer.database.timestamps import Clock, now_micros
from tweezer.internal.v1 import lease_service_pb2, queue_service_pb2
from tweezer.internal.v1.lease_service_pb2_grpc import add_LeaseServiceServicer_to_server
from tweezer.internal.v1.program_service_pb2_grpc import ProgramServiceStub
from tweezer.internal.v1.progress_service_pb2_grpc import ProgressServiceStub
from tweezer.internal.v1.queue_service_pb2_grpc import add_QueueServiceServicer_to_server
from tweezer.job.cancelling import Cancelling
from tweezer.job.forgetting import Forgetting
from tweezer.job.intake import Intake
from tweezer.job.lease_servicer import LeaseServicer
from tweezer.job.leasing import Leasing
from tweezer.job.metrics import JobMetrics, QueueGauges
from tweezer.job.models import WEBHOOK_DELIVERY
from tweezer.job.programs import Programs
from tweezer.job.queue_servicer import QueueServicer
from tweezer.job.queueing import Queueing
from tweezer.job.reading import Reading
from tweezer.job.recovery import Recovery
from tweezer.job.replicas import hearing
from tweezer.job.result_streams import ResultStreams
from tweezer.job.result_url import open_results
from tweezer.job.servicer import JobServicer
from tweezer.job.settings import JobSettings
from tweezer.job.signals import Signals
from tweezer.job.storage_limit import StorageLimit
from tweezer.job.store import leases
from tweezer.job.store.announcements import JobNews
from tweezer.job.tickets import TicketOffice
from tweezer.process.keep_going import keep_going
from tweezer.process.run import background
from tweezer.process.telemetry import Telemetry, telemetry_of
from tweezer.rpc.channel import open_service_channel
from tweezer.rpc.errors import Unavailable
from tweezer.rpc.server import build_server, serving
from tweezer.v1 import job_service_pb2, webhook_service_pb2
from tweezer.v1.job_service_pb2_grpc import add_JobServiceServicer_to_server
from tweezer.v1.webhook_service_pb2_grpc import add_WebhookServiceServicer_to_server
from tweezer.webhooks.hosting import delivery_loop
from tweezer.webhooks.servicer import WebhookServicer
from tweezer.webhooks.store import Deliveries

log = structlog.get_logger(__name__)

MIGRATIONS: Final = Path(__file__).parent / "migrations"

_SERVICES: Final = (
    job_service_pb2.DESCRIPTOR.services_by_name["JobService"].full_name,
    webhook_service_pb2.DESCRIPTOR.services_by_name["WebhookService"].full_name,
    queue_service_pb2.DESCRIPTOR.services_by_name["QueueService"].full_name,
    lease_service_pb2.DESCRIPTOR.services_by_name["LeaseService"].full_name,
)


async def serve(
    settings: JobSettings,
    stop: asyncio.Event,
    on_started: Callable[[int], None] = lambda port: None,
    clock: Clock = now_micros,
) -> None:
    """Runs the service until `stop` is set; `on_started` gets the port it listens on."""
    async with telemetry_of("job", settings, settings.job_metrics_listen) as telemetry:
        await _serve(settings, stop, on_started, clock, telemetry)


async def _serve(
    settings: JobSettings,
    stop: asyncio.Event,
    on_started: Callable[[int], None],
    clock: Clock,
    telemetry: Telemetry,
) -> None:
    server = build_server(settings, telemetry)  # makes the service key that the channel reads
    signals = Signals(clock)
    deliveries = Deliveries(WEBHOOK_DELIVERY)
    async with (
        _database(settings) as database,
        open_service_channel(settings, settings.batch_internal) as channel,
        delivery_loop(settings, database, deliveries, JobNews(), telemetry.metrics) as webhooks,
    ):
        signals.progress.also = webhooks.wake
        results = await open_results(settings)
        metrics = JobMetrics(telemetry.metrics)
        QueueGauges(telemetry.metrics, database)
        leasing = Leasing(database, results, signals, clock, settings.max_attempts, metrics)
        _add_services(
            server,
            JobServicer(
                Reading(database, clock),
                Cancelling(database, signals, clock, settings.cancel_wait_s),
                Programs(ProgramServiceStub(channel)),
                results,
                TicketOffice.with_keys(
                    settings.result_ticket_keys, settings.result_link_lifetime_s
                ),
                ResultStreams(settings.max_result_streams),
            ),
            QueueServicer(
                Queueing(
                    database,
                    Intake(database, settings.max_unfinished_jobs, clock),
                    StorageLimit(database, settings.max_stored_bytes_per_project),
                    signals,
                    clock,
                ),
                Forgetting(database, results),
                clock,
                settings.addition_grace_s,
            ),
            LeaseServicer(leasing),
        )
        add_WebhookServiceServicer_to_server(
            WebhookServicer(database, deliveries, webhooks), server
        )
        await _spare_leases(database, clock() + round(settings.lease_grace_s * 1_000_000))
        recovery = Recovery(
            settings,
            database,
            results,
            leasing,
            ProgressServiceStub(channel),
            signals,
            clock,
            metrics,
        )
        # The server ends before the loops do: what its last calls change is still reported.
        async with (
            background(
                webhooks=keep_going("webhooks", webhooks.run, Unavailable),
                replicas=database.listen(hearing(signals), settings.take_over_interval_s),
                **recovery.loops(),
            ),
            # Calls that wait for something are answered before the others end.
            serving(
                server,
                settings,
                settings.job_listen,
                _SERVICES,
                internal_address=settings.job_internal_listen,
                check=lambda: check_answers(database),
                before_stop=signals.close,
            ) as port,
        ):
            log.info("listening", address=settings.job_listen, port=port)
            on_started(port)
            await stop.wait()


def _add_services(
    server: grpc.aio.Server, jobs: JobServicer, queue: QueueServicer, leases: LeaseServicer
) -> None:
    add_JobServiceServicer_to_server(jobs, server)
    add_QueueServiceServicer_to_server(queue, server)
    add_LeaseServiceServicer_to_server(leases, server)


@asynccontextmanager
async def _database(settings: JobSettings) -> AsyncIterator[Database]:
    """Opens the database, brought up to date."""
    upgrade_database(settings.job_database, MIGRATIONS)
    database = open_database(settings.job_database, settings.database_connections)
    try:
        yield database
    finally:
        await database.close()


async def _spare_leases(database: Database, until: int) -> None:
    """Leaves workers the time to renew leases that ran out while this process was away.

    Their work goes on meanwhile; that nobody could take their renewals must not cost an attempt.
    """
    await database.write(lambda c: leases.postpone_expiry(c, until))
