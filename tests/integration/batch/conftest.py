"""The batch service as a whole: real databases, real servers, real checking processes.

Only JobService is a fake: a QueueService that records what it is told, behind a real server.
"""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pulser
import pytest
from sqlalchemy import URL, Connection, text

from tweezer.batch.checks.workers import CheckWorkers, WorkerLimits
from tweezer.batch.service import MIGRATIONS as BATCH_MIGRATIONS
from tweezer.batch.service import running_service
from tweezer.batch.settings import BatchSettings
from tweezer.database.opening import create_engine_of
from tweezer.identity.bootstrap import MIGRATIONS as IDENTITY_MIGRATIONS
from tweezer.identity.bootstrap import prepare as prepare_identity
from tweezer.identity.tokens import TokenIssuer
from tweezer.internal.v1.program_service_pb2_grpc import ProgramServiceStub
from tweezer.internal.v1.progress_service_pb2 import BatchProgress
from tweezer.internal.v1.progress_service_pb2_grpc import ProgressServiceStub
from tweezer.internal.v1.queue_service_pb2 import (
    ApplyDevicePausesRequest,
    ApplyDevicePausesResponse,
    ApplyIntentsRequest,
    ApplyIntentsResponse,
    BatchIntent,
    EnqueueJobsRequest,
    EnqueueJobsResponse,
    ForgetBatchesRequest,
    ForgetBatchesResponse,
    ListBatchJobsRequest,
    ListBatchJobsResponse,
    QueuedJob,
)
from tweezer.internal.v1.queue_service_pb2_grpc import (
    QueueServiceServicer,
    add_QueueServiceServicer_to_server,
)
from tweezer.rpc.channel import open_service_channel
from tweezer.rpc.server import build_server, start_server
from tweezer.v1.account_service_pb2_grpc import AccountServiceStub
from tweezer.v1.batch_pb2 import NewJob
from tweezer.v1.batch_service_pb2 import CreateBatchRequest, CreateBatchResponse
from tweezer.v1.batch_service_pb2_grpc import BatchServiceStub
from tweezer.v1.device_service_pb2_grpc import DeviceServiceStub
from tweezer.v1.operator_service_pb2_grpc import OperatorServiceStub

PROJECT = "11111111-1111-4111-8111-111111111111"
OTHER_PROJECT = "22222222-2222-4222-8222-222222222222"


class FakeQueue(QueueServiceServicer):
    """Records what JobService would be told; fails or hangs when a test says so."""

    def __init__(self) -> None:
        self.enqueued: list[EnqueueJobsRequest] = []
        self.intents: asyncio.Queue[BatchIntent] = asyncio.Queue()
        self.calls_of_intents: asyncio.Queue[ApplyIntentsRequest] = asyncio.Queue()
        self.refuse_enqueue: grpc.StatusCode | None = None
        self.progress_of: Callable[[BatchIntent], BatchProgress | None] = lambda _: None
        self.pauses: asyncio.Queue[set[str]] = asyncio.Queue()
        self.refuse_pauses: grpc.StatusCode | None = None
        self.queued_jobs: list[QueuedJob] = []
        self.list_requests: list[ListBatchJobsRequest] = []
        self.lists_what_is_enqueued = False
        self.forgets: asyncio.Queue[list[str]] = asyncio.Queue()
        self.unforgettable: set[str] = set()
        self.refuse_forget: grpc.StatusCode | None = None
        self.refuse_intents: Callable[[ApplyIntentsRequest], grpc.StatusCode | None] = lambda _: (
            None
        )
        self.entered, self.may_answer = asyncio.Event(), asyncio.Event()
        self.may_answer.set()

    async def EnqueueJobs(self, request: EnqueueJobsRequest, context: Any) -> EnqueueJobsResponse:
        self.enqueued.append(request)
        self.entered.set()
        await self.may_answer.wait()
        if self.refuse_enqueue is not None:
            await context.abort(self.refuse_enqueue, "refused by the test")
        return EnqueueJobsResponse()

    async def ApplyIntents(
        self, request: ApplyIntentsRequest, context: Any
    ) -> ApplyIntentsResponse:
        await self.calls_of_intents.put(request)
        code = self.refuse_intents(request)
        if code is not None:
            await context.abort(code, "refused by the test")
        for intent in request.intents:
            await self.intents.put(intent)
        progress = [self.progress_of(intent) for intent in request.intents]
        return ApplyIntentsResponse(progress=[p for p in progress if p is not None])

    async def ListBatchJobs(
        self, request: ListBatchJobsRequest, context: Any
    ) -> ListBatchJobsResponse:
        self.list_requests.append(request)
        if request.filter.min_runs < 0:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "min_runs: must not be negative")
        if self.lists_what_is_enqueued:
            of_batch = [r for r in self.enqueued if r.batch.id == request.batch_id]
            return ListBatchJobsResponse(jobs=[job for r in of_batch for job in r.jobs])
        return ListBatchJobsResponse(jobs=self.queued_jobs)

    async def ForgetBatches(
        self, request: ForgetBatchesRequest, context: Any
    ) -> ForgetBatchesResponse:
        await self.forgets.put(list(request.batch_ids))
        if self.refuse_forget is not None:
            await context.abort(self.refuse_forget, "refused by the test")
        forgotten = [i for i in request.batch_ids if i not in self.unforgettable]
        return ForgetBatchesResponse(
            forgotten_batch_ids=forgotten,
            deleted_jobs=2 * len(forgotten),
            deleted_results=len(forgotten),
        )

    async def ApplyDevicePauses(
        self, request: ApplyDevicePausesRequest, context: Any
    ) -> ApplyDevicePausesResponse:
        if self.refuse_pauses is not None:
            await context.abort(self.refuse_pauses, "refused by the test")
        await self.pauses.put({p.device_type for p in request.pauses if p.paused})
        return ApplyDevicePausesResponse()

    async def next_intent(self) -> BatchIntent:
        return await asyncio.wait_for(self.intents.get(), 60)

    def forget_calls(self) -> None:
        while not self.calls_of_intents.empty():
            self.calls_of_intents.get_nowait()

    async def next_call_of_intents(self) -> ApplyIntentsRequest:
        return await asyncio.wait_for(self.calls_of_intents.get(), 60)


@dataclass
class User:
    """A caller with a token."""

    user_id: str
    token: str

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self.token}"),)


class Stubs:
    """Clients of a running batch service."""

    def __init__(self, public: grpc.aio.Channel, internal: grpc.aio.Channel) -> None:
        self.batches = BatchServiceStub(public)
        self.devices = DeviceServiceStub(public)
        self.operators = OperatorServiceStub(public)
        self.accounts = AccountServiceStub(public)
        self.progress = ProgressServiceStub(internal)
        self.programs = ProgramServiceStub(internal)


@dataclass
class Place:
    """A data folder, a JobService that is a fake, and batch services to start there."""

    settings: BatchSettings
    queue: FakeQueue
    workers: CheckWorkers
    tokens: TokenIssuer = field(init=False)

    def __post_init__(self) -> None:
        self.tokens = TokenIssuer(prepare_identity(self.settings), self.settings)

    def user(self, *project_ids: str) -> User:
        user_id = str(uuid.uuid4())
        return User(user_id, self.tokens.issue(user_id, "somebody", project_ids or (PROJECT,)))

    def operator(self, *project_ids: str) -> User:
        user_id = str(uuid.uuid4())
        token = self.tokens.issue(user_id, "boss", project_ids or (PROJECT,), operator=True)
        return User(user_id, token)

    @asynccontextmanager
    async def serving(self, **changes: Any) -> AsyncIterator[int]:
        settings = self.settings.model_copy(update=changes)
        async with running_service(settings, self.workers) as port:
            yield port

    @asynccontextmanager
    async def connected(self, port: int) -> AsyncIterator[Stubs]:
        address = f"127.0.0.1:{port}"
        options = [("grpc.max_receive_message_length", self.settings.max_message_bytes)]
        async with (
            grpc.aio.insecure_channel(address, options=options) as public,
            open_service_channel(self.settings, address) as internal,
        ):
            yield Stubs(public, internal)

    @asynccontextmanager
    async def running(self, **changes: Any) -> AsyncIterator[Stubs]:
        async with self.serving(**changes) as port, self.connected(port) as stubs:
            yield stubs

    def rows(self, query: str, **parameters: Any) -> list[Any]:
        """Reads the batch database past the service."""

        def read(connection: Connection) -> list[Any]:
            return list(connection.execute(text(query), parameters).all())

        engine = create_engine_of(self.settings.batch_database)
        try:
            with engine.connect() as connection:
                return read(connection)
        finally:
            engine.dispose()

    def change(self, statement: str) -> None:
        """Changes the batch database past the service."""
        engine = create_engine_of(self.settings.batch_database)
        with engine.begin() as connection:
            connection.execute(text(statement))
        engine.dispose()

    async def until_all_is_told(self) -> None:
        """Waits until JobService's answers about intents are stored: nothing else tells of it."""
        async with asyncio.timeout(60):
            while True:
                query = "SELECT 1 FROM batch WHERE acknowledged_version < intent_version"
                if not self.rows(query):
                    return
                await asyncio.sleep(0.005)


@pytest.fixture(scope="session")
def check_workers() -> Iterator[CheckWorkers]:
    """One checking process for all tests: Pulser takes seconds to import."""
    workers = CheckWorkers(1, WorkerLimits(1024**3, 10), max_waiting=1000)
    workers.start()
    yield workers
    workers.close()


@pytest.fixture(scope="session")
def open_place(check_workers: CheckWorkers, databases: Callable[[str], Any]) -> Callable[..., Any]:
    """Sets up a place in a folder, for fixtures of any scope."""

    @asynccontextmanager
    async def opened(folder: Path, backend: str = "sqlite") -> AsyncIterator[Place]:
        with databases(backend) as new:
            urls = {
                "batch_database_url": new(folder / "batch.db", BATCH_MIGRATIONS),
                "identity_database_url": new(folder / "identity.db", IDENTITY_MIGRATIONS),
            }
            async with opened_on(folder, urls) as place:
                yield place

    @asynccontextmanager
    async def opened_on(folder: Path, urls: dict[str, URL]) -> AsyncIterator[Place]:
        base = BatchSettings(
            data_dir=folder,
            batch_listen="127.0.0.1:0",
            stop_grace_s=2,
            **{name: url.render_as_string(hide_password=False) for name, url in urls.items()},
        )
        queue = FakeQueue()
        server = build_server(base)
        add_QueueServiceServicer_to_server(queue, server)
        port = await start_server(server, "127.0.0.1:0", ["tweezer.internal.v1.QueueService"])
        settings = base.model_copy(update={"job_address": f"127.0.0.1:{port}"})
        yield Place(settings, queue, check_workers)
        await server.stop(0)

    return opened


@pytest.fixture
async def place(
    tmp_path: Path, backend: str, open_place: Callable[..., Any]
) -> AsyncIterator[Place]:
    async with open_place(tmp_path, backend) as place:
        yield place


@pytest.fixture
async def stubs(place: Place) -> AsyncIterator[Stubs]:
    async with place.running() as stubs:
        yield stubs


@pytest.fixture
def user(place: Place) -> User:
    return place.user()


class Sequences:
    """Texts of sequences, by what is special about them."""

    def __init__(self) -> None:
        self.plain = self.of_square(2)
        self.parametrised = self._parametrised()
        self.mappable = self._mappable()
        self.unmeasured = self.of_square(2, measure=False)
        self.empty = self._empty()

    @staticmethod
    def of_square(side: int, *, measure: bool = True, device: Any = pulser.MockDevice) -> str:
        register = pulser.Register.square(side, spacing=6, prefix="q")
        sequence = pulser.Sequence(register, device)
        sequence.declare_channel("ch", "rydberg_global")
        sequence.add(pulser.Pulse.ConstantPulse(100, 1, 0, 0), "ch")
        if measure:
            sequence.measure("ground-rydberg")
        return sequence.to_abstract_repr()

    @staticmethod
    def _parametrised() -> str:
        register = pulser.Register.square(2, spacing=6, prefix="q")
        sequence = pulser.Sequence(register, pulser.MockDevice)
        sequence.declare_channel("ch", "rydberg_global")
        omega = sequence.declare_variable("omega")
        steps = sequence.declare_variable("steps", size=3)
        duration = sequence.declare_variable("duration", dtype=int)
        ramp = pulser.RampWaveform(duration, 0, omega)
        sequence.add(pulser.Pulse(ramp, pulser.InterpolatedWaveform(duration, steps), 0), "ch")
        sequence.measure("ground-rydberg")
        return sequence.to_abstract_repr()

    @staticmethod
    def _mappable() -> str:
        layout = pulser.register.register_layout.RegisterLayout(
            [[6 * i, 6 * j] for i in range(3) for j in range(2)]
        )
        register = layout.make_mappable_register(3, prefix="q")
        sequence = pulser.Sequence(register, pulser.MockDevice)
        sequence.declare_channel("ch", "rydberg_global")
        sequence.add(pulser.Pulse.ConstantPulse(100, 1, 0, 0), "ch")
        sequence.measure("ground-rydberg")
        return sequence.to_abstract_repr()

    @staticmethod
    def _empty() -> str:
        sequence = pulser.Sequence(
            pulser.Register.square(2, spacing=6, prefix="q"), pulser.MockDevice
        )
        sequence.declare_channel("ch", "rydberg_global")
        return sequence.to_abstract_repr()


@pytest.fixture(scope="session")
def sequences() -> Sequences:
    return Sequences()


def values(**variables: Any) -> str:
    return json.dumps(variables)


GOOD_VALUES = values(omega=3.5, steps=[0, 1, 2.5], duration=1000)


@pytest.fixture(scope="session")
def new_batch(sequences: Sequences) -> Callable[..., CreateBatchRequest]:
    """Makes requests that are accepted unless a test changes something."""

    def make(jobs: int | list[NewJob] = 1, **changes: Any) -> CreateBatchRequest:
        if isinstance(jobs, int):
            jobs = [NewJob(runs=10) for _ in range(jobs)]
        usual = {"project_id": PROJECT, "sequence": sequences.plain, "device_type": "EMU_FREE"}
        return CreateBatchRequest(**{**usual, "jobs": jobs, **changes})

    return make


@pytest.fixture
def create(
    stubs: Stubs, user: User, new_batch: Callable[..., CreateBatchRequest]
) -> Callable[..., Any]:
    """Creates batches through the service."""

    async def call(
        jobs: int | list[NewJob] = 1, by: User = user, **changes: Any
    ) -> CreateBatchResponse:
        return await stubs.batches.CreateBatch(new_batch(jobs, **changes), metadata=by.metadata)

    return call
