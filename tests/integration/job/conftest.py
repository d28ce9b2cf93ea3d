"""A job service on a real database, with the other service's side played by a small servicer."""

import asyncio
import json
import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import jwt
import pytest
from batch_side import BatchSide
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from job_process import JobProcess
from job_tables import PROJECT, USER, Tables
from result_places import ResultBucket, ResultFolder
from sqlalchemy import URL

from tweezer.database.database import Database
from tweezer.database.migrations import upgrade_database
from tweezer.database.opening import open_database
from tweezer.database.url import sqlite_url
from tweezer.internal.v1.program_service_pb2_grpc import add_ProgramServiceServicer_to_server
from tweezer.internal.v1.progress_service_pb2_grpc import add_ProgressServiceServicer_to_server
from tweezer.job.service import MIGRATIONS, serve
from tweezer.job.settings import JobSettings
from tweezer.rpc.channel import open_service_channel


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
