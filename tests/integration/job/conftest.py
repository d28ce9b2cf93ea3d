"""A job service on a real database, with the other service's side played by a small servicer."""

import asyncio
import json
import shutil
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import grpc
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import URL, Connection, text

from tweezer.database.database import Database
from tweezer.database.migrations import upgrade_database
from tweezer.database.opening import create_engine_of, open_database
from tweezer.database.url import sqlite_url
from tweezer.internal.v1 import lease_service_pb2 as lease_pb
from tweezer.internal.v1 import program_service_pb2 as program_pb
from tweezer.internal.v1 import progress_service_pb2 as progress_pb
from tweezer.internal.v1 import queue_service_pb2 as queue_pb
from tweezer.internal.v1.lease_service_pb2_grpc import LeaseServiceStub
from tweezer.internal.v1.program_service_pb2_grpc import (
    ProgramServiceServicer,
    add_ProgramServiceServicer_to_server,
)
from tweezer.internal.v1.progress_service_pb2_grpc import (
    ProgressServiceServicer,
    add_ProgressServiceServicer_to_server,
)
from tweezer.internal.v1.queue_service_pb2_grpc import QueueServiceStub
from tweezer.job.service import MIGRATIONS, serve
from tweezer.job.settings import JobSettings
from tweezer.job.store import enqueue, intents
from tweezer.job.store.enqueue import Addition, NewBatch, NewJob
from tweezer.job.store.intents import Intent
from tweezer.rpc.channel import open_service_channel
from tweezer.v1 import batch_pb2, job_pb2
from tweezer.v1.job_service_pb2_grpc import JobServiceStub

T = TypeVar("T")

PROJECT = "11111111-1111-4111-8111-111111111111"
USER = "user-1"


def job_id(batch_id: str, order: int) -> str:
    return str(uuid.uuid5(uuid.UUID(batch_id), str(order)))


# --- the store, without a service -----------------------------------------------------------


@dataclass
class Tables:
    """A database and the means to fill it; each call is a transaction of its own."""

    url: URL
    project: str = PROJECT

    def __post_init__(self) -> None:
        self.engine = create_engine_of(self.url)
        self.connection = self.engine.connect()

    def __call__(self, work: Callable[[Connection], T]) -> T:
        with self.connection.begin():
            return work(self.connection)

    def close(self) -> None:
        self.connection.close()
        self.engine.dispose()

    def addition(
        self,
        jobs: int = 1,
        *,
        batch_id: str | None = None,
        first_order: int = 0,
        now: int = 0,
        check_at: int = 60,
        **batch: Any,
    ) -> Addition:
        batch_id = batch_id or str(uuid.uuid4())
        shared = {
            "project_id": self.project,
            "user_id": USER,
            "device_type": "EMU_FREE",
            "queue_rank": 3,
            "origin": "CLIENT",
            "program_hash": "p" * 64,
            "backend_configuration": None,
            "configuration_json": None,
        }
        return Addition(
            id=str(uuid.uuid4()),
            batch=NewBatch(id=batch_id, **{**shared, **batch}),
            first_order=first_order,
            jobs_count=jobs,
            jobs=[
                NewJob(job_id(batch_id, order), order, None, 100 + order, None, None)
                for order in range(first_order, first_order + jobs)
            ],
            created_at=now,
            check_at=check_at,
        )

    def enqueue(self, addition: Addition) -> Addition:
        self(lambda c: enqueue.store(c, addition, lambda: addition.created_at))
        return addition

    def intend(
        self, batch_id: str, version: int, *additions: str, now: int = 1_000, **wanted: bool
    ) -> Any:
        wish = {"cancelled": False, "paused": False, **wanted}
        return self(lambda c: intents.apply(c, [Intent(batch_id, version, additions, **wish)], now))

    def add(self, jobs: int = 1, **how: Any) -> Addition:
        """Stores jobs and releases them."""
        addition = self.enqueue(self.addition(jobs, **how))
        self.intend(addition.batch.id, 1, addition.id)
        return addition

    def rows(self, statement: str, **parameters: Any) -> list[dict[str, Any]]:
        def read(connection: Connection) -> list[dict[str, Any]]:
            return [dict(row) for row in connection.execute(text(statement), parameters).mappings()]

        return self(read)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database to copy: migrating takes longer than most tests."""
    file = tmp_path_factory.mktemp("empty") / "job.db"
    upgrade_database(sqlite_url(file), MIGRATIONS)
    return file


@pytest.fixture
def open_tables(
    backend: str, empty_database: Path, new_database: Callable[[Path, Path], URL]
) -> Callable[[Path], Tables]:
    def open_tables(file: Path) -> Tables:
        if backend == "sqlite":
            shutil.copyfile(empty_database, file)
        return Tables(new_database(file, MIGRATIONS))

    return open_tables


@pytest.fixture
def tables(tmp_path: Path, job_database: URL, empty_database: Path) -> Iterator[Tables]:
    if job_database.get_backend_name() == "sqlite":
        shutil.copyfile(empty_database, tmp_path / "job.db")
    tables = Tables(job_database)
    yield tables
    tables.close()


@pytest.fixture
def job_database(tmp_path: Path, new_database: Callable[[Path, Path], URL]) -> URL:
    """The database of the test."""
    return new_database(tmp_path / "job.db", MIGRATIONS)


@pytest.fixture
async def database(tables: Tables) -> AsyncIterator[Database]:
    database = open_database(tables.url, 4)
    yield database
    await database.close()


# --- BatchService's side --------------------------------------------------------------------


class BatchSide(ProgressServiceServicer, ProgramServiceServicer):
    """Plays BatchService: keeps the newest progress, knows additions and programs."""

    def __init__(self) -> None:
        self.progress: dict[str, progress_pb.BatchProgress] = {}
        self.reports = 0
        self.committed: set[str] = set()
        self.asked: list[list[str]] = []
        self.unknown_batches: set[str] = set()
        self.sequences: dict[tuple[str, str | None], str] = {}
        self.failures_left = 0
        self._changed = asyncio.Condition()

    async def until(self, holds: Callable[["BatchSide"], bool]) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: holds(self))

    async def ReportProgress(
        self, request: progress_pb.ReportProgressRequest, context: Any
    ) -> progress_pb.ReportProgressResponse:
        async with self._changed:
            self.reports += 1
            self._changed.notify_all()
            if self.failures_left:
                self.failures_left -= 1
                await context.abort(grpc.StatusCode.INTERNAL, "not now")
            for report in request.reports:
                self.progress[report.batch_id] = report
        named = {report.batch_id for report in request.reports}
        return progress_pb.ReportProgressResponse(
            unknown_batch_ids=sorted(named & self.unknown_batches)
        )

    async def ResolveAdditions(
        self, request: progress_pb.ResolveAdditionsRequest, context: Any
    ) -> progress_pb.ResolveAdditionsResponse:
        async with self._changed:
            self.asked.append(sorted(request.addition_ids))
            self._changed.notify_all()
            if self.failures_left:
                self.failures_left -= 1
                await context.abort(grpc.StatusCode.INTERNAL, "not now")
        return progress_pb.ResolveAdditionsResponse(
            unknown_addition_ids=[a for a in request.addition_ids if a not in self.committed]
        )

    async def GetProgram(
        self, request: program_pb.GetProgramRequest, context: Any
    ) -> program_pb.GetProgramResponse:
        raise AssertionError("JobService builds programs, it does not get them")

    async def BuildProgram(
        self, request: program_pb.BuildProgramRequest, context: Any
    ) -> program_pb.BuildProgramResponse:
        variables = request.variables_json if request.HasField("variables_json") else None
        if request.program_hash == "missing":
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such program")
        return program_pb.BuildProgramResponse(
            sequence=self.sequences.get((request.program_hash, variables))
        )


@dataclass
class BatchServer:
    """BatchService's side behind a real server."""

    side: BatchSide
    server: grpc.aio.Server
    address: str


@pytest.fixture
async def batch_server() -> AsyncIterator[BatchServer]:
    side, server = BatchSide(), grpc.aio.server()
    add_ProgressServiceServicer_to_server(side, server)
    add_ProgramServiceServicer_to_server(side, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield BatchServer(side, server, f"127.0.0.1:{port}")
    await server.stop(None)


@pytest.fixture
def batch_side(batch_server: BatchServer) -> BatchSide:
    return batch_server.side


# --- users ----------------------------------------------------------------------------------


@dataclass
class Issuer:
    """Signs bearer tokens that the service accepts."""

    data_dir: Path
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    def __post_init__(self) -> None:
        public = jwt.algorithms.OKPAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        keys = self.data_dir / "keys"
        keys.mkdir(parents=True, exist_ok=True)
        jwk = {**public, "kid": "test", "alg": "EdDSA", "use": "sig"}
        (keys / "jwks.json").write_text(json.dumps({"keys": [jwk]}))

    def credentials(self, *projects: str, user: str = USER) -> tuple[tuple[str, str]]:
        now = int(time.time())
        claims = {
            "iss": "tweezer",
            "aud": "tweezer",
            "sub": user,
            "iat": now,
            "exp": now + 600,
            "projects": list(projects),
        }
        token = jwt.encode(claims, self.key, "EdDSA", headers={"kid": "test"})
        return (("authorization", f"Bearer {token}"),)


@pytest.fixture
def issuer(tmp_path: Path) -> Issuer:
    return Issuer(tmp_path)


@pytest.fixture
def member(issuer: Issuer) -> tuple[tuple[str, str]]:
    """Credentials of a member of PROJECT."""
    return issuer.credentials(PROJECT)


# --- the result store -----------------------------------------------------------------------


class ResultFolder:
    """The folder of the results, seen past the service."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings: dict[str, Any] = {}

    def results(self) -> list[str]:
        return [str(path.relative_to(self.folder)) for path in self.folder.rglob("*.json")]

    def remove(self, key: str) -> None:
        (self.folder / key).unlink()


class ResultBucket:
    """The bucket of the results, seen past the service."""

    def __init__(self, bucket: Any) -> None:
        self.bucket = bucket
        self.settings = {"result_store_url": bucket.url}

    def results(self) -> list[str]:
        return self.bucket.results()

    def remove(self, key: str) -> None:
        self.bucket.remove(key)


@pytest.fixture
def result_place() -> str:
    """Where results are kept; a file of tests that are about both overrides it."""
    return "folder"


@pytest.fixture
def s3_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    from s3_server import CREDENTIALS

    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def stored(
    request: pytest.FixtureRequest, result_place: str, tmp_path: Path
) -> Iterator[ResultFolder | ResultBucket]:
    """The result store of the test."""
    if result_place == "folder":
        yield ResultFolder(tmp_path / "results")
        return
    request.getfixturevalue("s3_credentials")
    bucket = request.getfixturevalue("s3_server").bucket()
    yield ResultBucket(bucket)
    bucket.remove_all()


# --- the service ----------------------------------------------------------------------------


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
        self, *tokens: str, progress: int = 0, duration: float = 60, wait: float = 0
    ) -> list[str]:
        response = await self.leases.RenewLeases(
            lease_pb.RenewLeasesRequest(
                renewals=[lease_pb.LeaseRenewal(token=t, progress=progress) for t in tokens],
                lease_duration=seconds(duration),
                wait=seconds(wait),
            )
        )
        return list(response.stop_tokens)


RunJobs = Callable[..., AbstractAsyncContextManager[JobProcess]]


@asynccontextmanager
async def run_service(settings: JobSettings) -> AsyncIterator[JobProcess]:
    stop = asyncio.Event()
    started: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(serve(settings, stop, started.set_result))
    await asyncio.wait((task, started), return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        await task
    async with open_service_channel(settings, f"127.0.0.1:{started.result()}") as channel:
        process = JobProcess(settings, started.result(), stop, channel)
        try:
            yield process
        finally:
            await process.users.close()
            stop.set()
            await task


@pytest.fixture
def run_jobs(
    tmp_path: Path,
    batch_server: BatchServer,
    issuer: Issuer,
    job_database: URL,
    stored: ResultFolder | ResultBucket,
) -> RunJobs:
    """Runs a job service on the folder of the test; may be used again after it has ended."""

    def run(**changed: Any) -> AbstractAsyncContextManager[JobProcess]:
        facts: dict[str, Any] = {
            "data_dir": tmp_path,
            "job_listen": "127.0.0.1:0",
            "batch_address": batch_server.address,
            "progress_interval_s": 0,
            "lease_grace_s": 0,
            **stored.settings,
        }
        if job_database.get_backend_name() != "sqlite":
            facts["job_database_url"] = job_database.render_as_string(hide_password=False)
        return run_service(JobSettings(**{**facts, **changed}))

    return run


@pytest.fixture
async def process(run_jobs: RunJobs) -> AsyncIterator[JobProcess]:
    async with run_jobs() as process:
        yield process
