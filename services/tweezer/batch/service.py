"""Builds the batch service, runs it, and takes it down."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import structlog

from tweezer.batch.bookkeeping import WEBHOOK_DELIVERY
from tweezer.batch.checks.admission import Admission
from tweezer.batch.checks.programs import Programs
from tweezer.batch.checks.workers import CheckWorkers, WorkerLimits
from tweezer.batch.deciding import Deciding
from tweezer.batch.device_pause_loop import DevicePauseLoop
from tweezer.batch.device_servicer import DeviceServicer
from tweezer.batch.devices.catalogue import Catalogue, read_catalogue
from tweezer.batch.former import FormerAnswers
from tweezer.batch.idle_loop import IdleLoop
from tweezer.batch.intent_loop import IntentLoop
from tweezer.batch.limits import Limits
from tweezer.batch.metrics import BatchMetrics
from tweezer.batch.named_request import NamedRequests
from tweezer.batch.operator_servicer import OperatorServicer
from tweezer.batch.program_servicer import ProgramServicer
from tweezer.batch.progress_intake import ProgressIntake
from tweezer.batch.progress_servicer import ProgressServicer
from tweezer.batch.recovery import Recovery
from tweezer.batch.servicer import BatchServicer
from tweezer.batch.settings import BatchSettings
from tweezer.batch.store.announcements import BatchNews
from tweezer.batch.store.words import CHANGED
from tweezer.batch.taking_in import TakingIn
from tweezer.batch.vacuum import RetentionLoop, Vacuum
from tweezer.batch.watch import BatchChanges
from tweezer.database.answering import check_answers
from tweezer.database.bell import Hearing
from tweezer.database.migrations import upgrade_database
from tweezer.database.opening import open_database
from tweezer.database.trouble import DatabaseUnavailable
from tweezer.identity import store as identity_store
from tweezer.identity.hosting import SERVICE_NAMES as IDENTITY_SERVICE_NAMES
from tweezer.identity.hosting import add_identity_services
from tweezer.identity.membership_servicer import StoredMemberships
from tweezer.identity.passwords import PasswordChecker
from tweezer.internal.v1.program_service_pb2_grpc import add_ProgramServiceServicer_to_server
from tweezer.internal.v1.progress_service_pb2_grpc import add_ProgressServiceServicer_to_server
from tweezer.internal.v1.queue_service_pb2_grpc import QueueServiceStub
from tweezer.process.keep_going import keep_going
from tweezer.process.run import background
from tweezer.process.telemetry import telemetry_of
from tweezer.rpc.channel import open_service_channel
from tweezer.rpc.server import build_server, serving
from tweezer.v1.batch_service_pb2_grpc import add_BatchServiceServicer_to_server
from tweezer.v1.device_service_pb2_grpc import add_DeviceServiceServicer_to_server
from tweezer.v1.operator_service_pb2_grpc import add_OperatorServiceServicer_to_server
from tweezer.v1.webhook_service_pb2_grpc import add_WebhookServiceServicer_to_server
from tweezer.webhooks.delivery_loop import DeliveryLoop
from tweezer.webhooks.hosting import delivery_loop
from tweezer.webhooks.servicer import WebhookServicer
from tweezer.webhooks.store import Deliveries

log = structlog.get_logger(__name__)

MIGRATIONS: Final = Path(__file__).parent / "migrations"

SERVICE_NAMES: Final = (
    "tweezer.v1.BatchService",
    "tweezer.v1.DeviceService",
    "tweezer.v1.OperatorService",
    "tweezer.v1.WebhookService",
    "tweezer.internal.v1.ProgressService",
    "tweezer.internal.v1.ProgramService",
    *IDENTITY_SERVICE_NAMES,
)


async def serve(settings: BatchSettings, stop: asyncio.Event) -> None:
    """Runs the service until `stop` is set."""
    async with running_service(settings) as port:
        log.info("serving", port=port)
        await stop.wait()


@asynccontextmanager
async def running_service(
    settings: BatchSettings, workers: CheckWorkers | None = None
) -> AsyncIterator[int]:
    """Runs the service while the body runs, and gives the port that it listens on.

    `workers` check the sequences in place of the service's own.
    """
    prepare(settings)
    async with AsyncExitStack() as stack:
        database = open_database(settings.batch_database, settings.database_connections)
        stack.push_async_callback(database.close)
        identity = open_database(settings.identity_database, settings.database_connections)
        stack.push_async_callback(identity.close)
        own_workers = None
        if workers is None:
            workers = own_workers = _own_workers(settings)
            stack.callback(workers.close)
        passwords = PasswordChecker(settings.login_workers, settings.max_waiting_logins)
        stack.callback(passwords.close)

        telemetry = await stack.enter_async_context(
            telemetry_of("batch", settings, settings.batch_metrics_listen)
        )
        # The server makes the service key that the channel uses.
        server = build_server(settings, telemetry, StoredMemberships(identity))
        channel = await stack.enter_async_context(
            open_service_channel(settings, settings.job_internal)
        )
        queue = QueueServiceStub(channel)
        metrics = BatchMetrics(telemetry.metrics, database)
        deliveries = Deliveries(WEBHOOK_DELIVERY)
        webhooks = await stack.enter_async_context(
            delivery_loop(settings, database, deliveries, BatchNews(), telemetry.metrics)
        )
        changes = BatchChanges(also=webhooks.wake)
        progress = ProgressIntake(database, changes)
        intents = IntentLoop(database, queue, progress, settings.intents_per_call)
        idle = IdleLoop(database, intents, changes, settings.open_batch_idle_s)
        programs = Programs(workers, settings)
        catalogue = _catalogue(settings)

        async def queue_priority_of(project_id: str) -> str:
            return await identity.read(lambda c: identity_store.queue_priority_of(c, project_id))

        pauses = DevicePauseLoop(database, queue, catalogue.device_types)
        admission = Admission(programs, catalogue, settings)
        deciding = Deciding(database, intents, changes, settings.batch_cancel_wait_s)
        taking_in = TakingIn(
            database,
            admission,
            queue,
            intents,
            changes,
            queue_priority_of,
            Limits(
                settings.max_jobs_per_batch,
                settings.max_unfinished_jobs_per_project,
                settings.max_batches_per_project,
            ),
        )
        recovery = Recovery(database, intents, settings.batch_recovery_interval_s, metrics=metrics)
        vacuum = Vacuum(database, queue, recovery)
        add_BatchServiceServicer_to_server(
            BatchServicer(
                database,
                admission,
                taking_in,
                NamedRequests(database, settings.request_id_life_s),
                FormerAnswers(database, queue),
                deciding,
                changes,
                settings.watch_reread_s,
            ),
            server,
        )
        devices = DeviceServicer(database, catalogue)
        add_DeviceServiceServicer_to_server(devices, server)
        add_OperatorServiceServicer_to_server(
            OperatorServicer(
                database,
                deciding,
                devices,
                pauses,
                vacuum,
                settings.batch_retention_days,
                settings.batch_cancel_wait_s,
            ),
            server,
        )
        add_identity_services(server, settings, identity, passwords)
        add_WebhookServiceServicer_to_server(
            WebhookServicer(database, deliveries, webhooks), server
        )
        add_ProgressServiceServicer_to_server(ProgressServicer(database, progress), server)
        add_ProgramServiceServicer_to_server(ProgramServicer(database, programs), server)

        async with (
            background(
                **{
                    name: keep_going(name, run, DatabaseUnavailable)
                    for name, run in {
                        "intents": intents.run,
                        "idle": idle.run,
                        "pauses": pauses.run,
                        "recovery": recovery.run,
                        "webhooks": webhooks.run,
                    }.items()
                },
                replicas=database.listen(
                    Hearing(
                        ears={CHANGED: changes.hear},
                        missed=changes.look_again,
                        take_over=lambda: _wake(intents, pauses, webhooks),
                    ),
                    settings.take_over_interval_s,
                ),
                **_retention(settings, vacuum),
            ),
            serving(
                server,
                settings,
                settings.batch_listen,
                SERVICE_NAMES,
                internal_address=settings.batch_internal_listen,
                check=lambda: check_answers(database),
                before_stop=changes.close,
            ) as port,
        ):
            if own_workers is not None:
                # Not before: they import Pulser, and would take the processor from what starts.
                own_workers.start()
            yield port


def _wake(*loops: IntentLoop | DevicePauseLoop | DeliveryLoop) -> None:
    for loop in loops:
        loop.wake()


def prepare(settings: BatchSettings) -> None:
    """Creates the tables that are missing."""
    upgrade_database(settings.batch_database, MIGRATIONS)


def _retention(settings: BatchSettings, vacuum: Vacuum) -> dict[str, Coroutine[None, None, None]]:
    days = settings.batch_retention_days
    if days is None:
        return {}
    loop = RetentionLoop(vacuum, days)
    return {"retention": keep_going("retention", loop.run, DatabaseUnavailable)}


def _catalogue(settings: BatchSettings) -> Catalogue:
    folders = () if settings.device_folder is None else (settings.device_folder,)
    return read_catalogue(settings.device_atom_limits, *folders)


def _own_workers(settings: BatchSettings) -> CheckWorkers:
    limits = WorkerLimits(settings.check_memory_bytes, settings.check_cpu_s)
    return CheckWorkers(settings.check_workers, limits, settings.max_waiting_checks)
