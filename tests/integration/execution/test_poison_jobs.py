"""Jobs that are bad for their workers, with a real job service and a real engine."""

import asyncio
import json
import sqlite3
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from tweezer.execution.engines.local import LocalEngine
from tweezer.execution.lease_loop import LeaseLoop
from tweezer.execution.programs import Programs
from tweezer.execution.settings import ExecutionSettings
from tweezer.internal.v1 import program_service_pb2 as programs
from tweezer.internal.v1 import progress_service_pb2 as progress
from tweezer.internal.v1 import queue_service_pb2 as queue
from tweezer.internal.v1.lease_service_pb2_grpc import LeaseServiceStub
from tweezer.internal.v1.program_service_pb2_grpc import (
    ProgramServiceServicer,
    ProgramServiceStub,
    add_ProgramServiceServicer_to_server,
)
from tweezer.internal.v1.progress_service_pb2_grpc import (
    ProgressServiceServicer,
    add_ProgressServiceServicer_to_server,
)
from tweezer.internal.v1.queue_service_pb2_grpc import QueueServiceStub
from tweezer.job.service import serve
from tweezer.job.settings import JobSettings
from tweezer.rpc.channel import open_service_channel
from tweezer.v1 import batch_pb2, job_pb2

#: Generous; only there so that a defect fails instead of hanging.
PATIENCE_S = 60.0


class BatchSide(ProgramServiceServicer, ProgressServiceServicer):
    """Plays BatchService: a program is its own hash, and progress is kept."""

    def __init__(self) -> None:
        self._counts: dict[str, Any] = {}
        self._changed = asyncio.Condition()

    async def GetProgram(self, request: Any, context: Any) -> programs.GetProgramResponse:
        return programs.GetProgramResponse(sequence=request.program_hash)

    async def ReportProgress(self, request: Any, context: Any) -> progress.ReportProgressResponse:
        async with self._changed:
            for report in request.reports:
                self._counts[report.batch_id] = report.job_counts
            self._changed.notify_all()
        return progress.ReportProgressResponse()

    async def ended(self, batch_id: str, jobs: int) -> Any:
        """Waits until all jobs of a batch are final and returns their counts."""

        def final() -> bool:
            counts = self._counts.get(batch_id)
            return counts is not None and counts.done + counts.error + counts.canceled == jobs

        async with asyncio.timeout(PATIENCE_S), self._changed:
            await self._changed.wait_for(final)
        return self._counts[batch_id]


@dataclass
class Pair:
    """A job service and the lease loop of an execution service."""

    data_dir: Path
    batch_side: BatchSide
    queue: QueueServiceStub
    engine: LocalEngine
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    async def add(self, device_type: str, *program_hashes: str) -> str:
        """Makes a batch with a job of each program and releases it."""
        batch_id, addition_id = str(uuid.uuid4()), str(uuid.uuid4())
        jobs = [
            queue.QueuedJob(
                id=str(uuid.uuid5(uuid.UUID(batch_id), str(order))),
                creation_order=order,
                program_hash=program_hash,
            )
            for order, program_hash in enumerate(program_hashes)
        ]
        batch = queue.QueuedBatch(
            id=batch_id,
            project_id=str(uuid.uuid4()),
            user_id="user",
            device_type=device_type,
            queue_priority=batch_pb2.QUEUE_PRIORITY_MEDIUM,
            origin=job_pb2.JOB_ORIGIN_CLIENT,
        )
        request = queue.EnqueueJobsRequest(
            batch=batch, addition_id=addition_id, jobs=jobs, create_time=Timestamp(seconds=1)
        )
        await self.queue.EnqueueJobs(request)
        intent = queue.BatchIntent(
            batch_id=batch_id, version=1, released_addition_ids=[addition_id]
        )
        await self.queue.ApplyIntents(queue.ApplyIntentsRequest(intents=[intent]))
        return batch_id

    def job(self, batch_id: str) -> tuple[str, int, str]:
        """Returns status, attempts and error of the only job of a batch."""
        with sqlite3.connect(self.data_dir / "job.db") as database:
            [row] = database.execute(
                "SELECT status, attempt, errors FROM job WHERE batch_id = ?", (batch_id,)
            )
        status, attempts, errors = row
        [error] = json.loads(errors)
        return status, attempts, error


@pytest.fixture
async def batch_side() -> AsyncIterator[tuple[BatchSide, str]]:
    side, server = BatchSide(), grpc.aio.server()
    add_ProgramServiceServicer_to_server(side, server)
    add_ProgressServiceServicer_to_server(side, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield side, f"127.0.0.1:{port}"
    await server.stop(None)


@pytest.fixture
async def pair(
    tmp_path: Path, batch_side: tuple[BatchSide, str], probes: dict[str, str]
) -> AsyncIterator[Pair]:
    side, batch_address = batch_side
    stop_jobs = asyncio.Event()
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    job_settings = JobSettings(
        data_dir=tmp_path, job_listen="127.0.0.1:0", batch_address=batch_address, max_attempts=3
    )
    job_service = asyncio.create_task(serve(job_settings, stop_jobs, port.set_result))
    address = f"127.0.0.1:{await port}"
    settings = ExecutionSettings(
        data_dir=tmp_path,
        job_address=address,
        batch_address=batch_address,
        lease_renewal_s=0.05,
    ).model_copy(update={"execution_device_types": tuple(probes), "job_time_limits": {"HANG": 0.2}})
    async with (
        LocalEngine(2, emulators=probes) as engine,
        open_service_channel(settings, address) as jobs,
        open_service_channel(settings, batch_address) as batches,
    ):
        pair = Pair(tmp_path, side, QueueServiceStub(jobs), engine)
        texts = Programs(ProgramServiceStub(batches))
        loop = LeaseLoop(settings, LeaseServiceStub(jobs), texts, engine)
        running = asyncio.create_task(loop.run(pair.stop))
        yield pair
        pair.stop.set()
        await running
        stop_jobs.set()
        await job_service


@pytest.mark.parametrize(
    ("device_type", "program", "reason"),
    [
        ("CRASH", "SIGSEGV", "The worker was lost 3 times: The worker process crashed (SIGSEGV)."),
        ("CRASH", "3", "The worker was lost 3 times: The worker process ended unexpectedly with"),
        ("CRASH", "SIGKILL", "The worker was lost 3 times: The worker process was killed by the"),
        ("ALLOCATE", "x", "The worker was lost 3 times: The emulation ran out of memory: use"),
    ],
)
async def test_a_poison_job_ends_with_the_reason_and_others_go_on(
    pair: Pair, device_type: str, program: str, reason: str
) -> None:
    poisoned = await pair.add(device_type, program)
    healthy = await pair.add("CHATTER", *(str(number) for number in range(20)))
    counts = await pair.batch_side.ended(healthy, 20)
    assert counts.done == 20
    counts = await pair.batch_side.ended(poisoned, 1)
    assert counts.error == 1
    status, attempts, error = pair.job(poisoned)
    assert (status, attempts) == ("ERROR", 3)
    assert error.startswith(reason)


async def test_a_job_over_its_time_limit_is_not_tried_again(pair: Pair) -> None:
    before = pair.engine.pids
    hanging = await pair.add("HANG", "x")
    await pair.batch_side.ended(hanging, 1)
    status, attempts, error = pair.job(hanging)
    assert (status, attempts) == ("ERROR", 1)
    assert error == "The job was stopped at the time limit of 0.2 s."
    after = await pair.add("CHATTER", *(str(number) for number in range(20)))
    assert (await pair.batch_side.ended(after, 20)).done == 20
    assert not before <= pair.engine.pids
