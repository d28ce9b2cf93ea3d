"""A job service that runs in the process of the test, and stubs of it."""

import asyncio
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from job_tables import PROJECT, USER, job_id
from sqlalchemy import text

from tweezer.database.opening import create_engine_of
from tweezer.internal.v1 import lease_service_pb2 as lease_pb
from tweezer.internal.v1 import queue_service_pb2 as queue_pb
from tweezer.internal.v1.lease_service_pb2_grpc import LeaseServiceStub
from tweezer.internal.v1.queue_service_pb2_grpc import QueueServiceStub
from tweezer.job.settings import JobSettings
from tweezer.v1 import batch_pb2, job_pb2
from tweezer.v1.job_service_pb2_grpc import JobServiceStub


def seconds(number: float) -> Duration:
    duration = Duration()
    duration.FromMicroseconds(round(number * 1_000_000))
    return duration


@dataclass
class JobProcess:
    """A running job service and stubs of it."""

    settings: JobSettings
    port: int
    stop: asyncio.Event
    channel: grpc.aio.Channel

    def __post_init__(self) -> None:
        self.queue = QueueServiceStub(self.channel)
        self.leases = LeaseServiceStub(self.channel)
        self.users = grpc.aio.insecure_channel(f"127.0.0.1:{self.port}")
        self.jobs = JobServiceStub(self.users)

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Reads the database past the service."""
        engine = create_engine_of(self.settings.job_database)
        try:
            with engine.connect() as connection:
                return [tuple(row) for row in connection.execute(text(statement))]
        finally:
            engine.dispose()

    async def until_none(self, of: str) -> None:
        """Waits until there is no such row; nothing tells of it."""
        async with asyncio.timeout(60):
            while self.rows(f"SELECT 1 FROM {of} LIMIT 1"):  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def enqueue(
        self,
        jobs: int | Sequence[queue_pb.QueuedJob] = 1,
        batch_id: str | None = None,
        **batch: Any,
    ) -> queue_pb.EnqueueJobsRequest:
        batch_id = batch_id or str(uuid.uuid4())
        if isinstance(jobs, int):
            jobs = [
                queue_pb.QueuedJob(id=job_id(batch_id, order), creation_order=order)
                for order in range(jobs)
            ]
        shared: dict[str, Any] = {
            "project_id": PROJECT,
            "user_id": USER,
            "device_type": "EMU_FREE",
            "queue_priority": batch_pb2.QUEUE_PRIORITY_MEDIUM,
            "program_hash": "program",
            "origin": job_pb2.JOB_ORIGIN_CLIENT,
        }
        request = queue_pb.EnqueueJobsRequest(
            batch=queue_pb.QueuedBatch(id=batch_id, **{**shared, **batch}),
            addition_id=str(uuid.uuid4()),
            jobs=jobs,
            create_time=Timestamp(seconds=1_700_000_000),
        )
        await self.queue.EnqueueJobs(request)
        return request

    async def intend(
        self, batch_id: str, version: int, additions: Iterable[str] = (), **wanted: bool
    ) -> None:
        intent = queue_pb.BatchIntent(
            batch_id=batch_id, version=version, released_addition_ids=additions, **wanted
        )
        await self.queue.ApplyIntents(queue_pb.ApplyIntentsRequest(intents=[intent]))

    async def add(
        self, jobs: int | Sequence[queue_pb.QueuedJob] = 1, **how: Any
    ) -> queue_pb.EnqueueJobsRequest:
        """Enqueues jobs and releases them."""
        request = await self.enqueue(jobs, **how)
        await self.intend(request.batch.id, 1, [request.addition_id])
        return request

    async def pause_devices(self, **paused: bool) -> None:
        pauses = [queue_pb.DevicePause(device_type=d, paused=p) for d, p in paused.items()]
        await self.queue.ApplyDevicePauses(queue_pb.ApplyDevicePausesRequest(pauses=pauses))

    async def lease(
        self,
        max_jobs: int = 1,
        *,
        wait: float = 0,
        duration: float = 60,
        devices: Sequence[str] = ("EMU_FREE",),
    ) -> list[lease_pb.JobLease]:
        response = await self.leases.LeaseJobs(
            lease_pb.LeaseJobsRequest(
                worker_id="worker",
                device_types=devices,
                max_jobs=max_jobs,
                wait=seconds(wait),
                lease_duration=seconds(duration),
            )
        )
        return [lease for batch in response.batches for lease in batch.leases]

    async def finish(self, token: str, **outcome: Any) -> bool:
        """Ends one lease and says whether that was accepted."""
        response = await self.leases.FinishJobs(
            lease_pb.FinishJobsRequest(outcomes=[lease_pb.JobOutcome(token=token, **outcome)])
        )
        return list(response.refused_tokens) == []

    async def renew(
        self,
        *tokens: str,
        progress: int = 0,
        duration: float = 60,
        wait: float = 0,
        former: Sequence[str] = (),
    ) -> list[str]:
        response = await self.leases.RenewLeases(
            lease_pb.RenewLeasesRequest(
                renewals=[lease_pb.LeaseRenewal(token=t, progress=progress) for t in tokens],
                lease_duration=seconds(duration),
                wait=seconds(wait),
                former_tokens=former,
            )
        )
        return list(response.stop_tokens)
