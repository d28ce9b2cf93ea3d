"""Programs, tasks and engines for the tests of the execution service."""

import asyncio
import hashlib
import json
import math
import sqlite3
import uuid
import warnings
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from pulser import (
    AnalogDevice,
    MockDevice,
    Pulse,
    RampWaveform,
    Register,
    Sequence,
)
from pulser.register import RegisterLayout

from tweezer.execution.emulators.task import Limits, Task
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
PATIENCE_S = 120.0

MakeTask = Callable[..., Task]


@pytest.fixture
def bell() -> str:
    """Two atoms in each other's blockade: the Bell state (|rg> + |gr>) / sqrt(2)."""
    sequence = Sequence(Register({"a": (0, 0), "b": (5, 0)}), AnalogDevice)
    sequence.declare_channel("ch", "rydberg_global")
    sequence.add(Pulse.ConstantDetuning(RampWaveform(564, 4.0, 3.99), 0, 0), "ch")
    sequence.measure("ground-rydberg")
    return sequence.to_abstract_repr()


@pytest.fixture
def sweep() -> str:
    """Four atoms, an antiferromagnetic sweep; a scalar `omega` and an array `detunings`."""
    sequence = Sequence(Register.rectangle(2, 2, 6.5, prefix="q"), MockDevice)
    sequence.declare_channel("ch", "rydberg_global")
    omega = sequence.declare_variable("omega")
    detunings = sequence.declare_variable("detunings", size=2)
    duration = sequence.declare_variable("duration", dtype=int)
    sweep = RampWaveform(duration, detunings[0], detunings[1])
    sequence.add(Pulse.ConstantAmplitude(omega, sweep, 0), "ch")
    sequence.measure("ground-rydberg")
    return sequence.to_abstract_repr()


@pytest.fixture
def mappable() -> str:
    """Up to three atoms on the traps of a layout; one pulse."""
    layout = RegisterLayout([(0, 0), (5, 0), (30, 0), (0, 30), (40, 40), (60, 0)])
    sequence = Sequence(layout.make_mappable_register(3, prefix="m"), MockDevice)
    sequence.declare_channel("ch", "rydberg_global")
    sequence.add(Pulse.ConstantPulse(250, 6, 0, 0), "ch")
    sequence.measure("ground-rydberg")
    return sequence.to_abstract_repr()


@pytest.fixture
def ring() -> Callable[[int], str]:
    """Any number of atoms on a circle; takes long for twelve and more."""

    def build(atoms: int) -> str:
        angles = [2 * math.pi * i / atoms for i in range(atoms)]
        radius = 3 / math.sin(math.pi / atoms)
        places = [(radius * math.cos(angle), radius * math.sin(angle)) for angle in angles]
        sequence = Sequence(Register.from_coordinates(places, prefix="q"), MockDevice)
        sequence.declare_channel("ch", "rydberg_global")
        sequence.add(Pulse.ConstantAmplitude(5, RampWaveform(3000, -8, 8), 0), "ch")
        sequence.measure("ground-rydberg")
        return sequence.to_abstract_repr()

    return build


@pytest.fixture
def make_task() -> MakeTask:
    def make(sequence: str, device_type: str = "EMU_FREE", **fields: Any) -> Task:
        digest = hashlib.sha256(sequence.encode()).hexdigest()
        return Task(device_type, sequence, digest, **{"limits": Limits(), **fields})

    return make


@pytest.fixture
async def engine() -> AsyncIterator[LocalEngine]:
    async with LocalEngine(2) as engine:
        yield engine


@pytest.fixture
def probes(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Emulators that do to a worker what no emulator should; see `worker_probes.py`."""
    monkeypatch.syspath_prepend(Path(__file__).parent)
    names = (
        "environment",
        "sample",
        "hang",
        "crash",
        "chatter",
        "stuck_in_c",
        "allocate",
        "bug",
        "once",
    )
    return {name.upper(): f"worker_probes:{name}" for name in (*names, "once")}


@pytest.fixture
def probability_of() -> Callable[[Sequence[Any]], dict[str, float]]:
    """Exact probabilities of the bitstrings of a sequence, from Pulser itself."""
    from pulser.backend import StateResult
    from pulser_simulation import QutipBackendV2, QutipConfig

    def probabilities(sequence: Sequence[Any]) -> dict[str, float]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            config = QutipConfig(observables=[StateResult()])
            state = QutipBackendV2(sequence, config=config).run().final_state
            return dict(state.bitstring_probabilities())  # type: ignore[attr-defined]

    return probabilities


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
    engine: Any
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

    def jobs(self, batch_id: str, *columns: str) -> list[tuple[Any, ...]]:
        """Returns columns of the jobs of a batch, in their order."""
        with sqlite3.connect(self.data_dir / "job.db") as database:
            query = (
                f"SELECT {', '.join(columns)} FROM job WHERE batch_id = ? ORDER BY creation_order"
            )
            return list(database.execute(query, (batch_id,)))

    def job(self, batch_id: str) -> tuple[str, int, str]:
        """Returns status, attempts and error of the only job of a batch."""
        [(status, attempts, errors)] = self.jobs(batch_id, "status", "attempt", "errors")
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
def pair_engine(probes: dict[str, str]) -> Any:
    """The engine of `pair`, not started; a file of tests may have another."""
    return LocalEngine(2, emulators=probes)


@pytest.fixture
async def pair(
    tmp_path: Path, batch_side: tuple[BatchSide, str], probes: dict[str, str], pair_engine: Any
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
        pair_engine as engine,
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
