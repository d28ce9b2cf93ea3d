"""The gateway in front of real gRPC servers whose services say what a test wants."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
import yaml
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from tweezer.gateway.app import create_app
from tweezer.gateway.server import serve
from tweezer.gateway.settings import GatewaySettings
from tweezer.gateway.stubs import Stubs, open_stubs
from tweezer.rpc.errors import DomainError, abort, status_of
from tweezer.v1 import account_service_pb2 as account
from tweezer.v1 import account_service_pb2_grpc as account_grpc
from tweezer.v1 import batch_pb2, device_pb2, job_pb2
from tweezer.v1 import batch_service_pb2 as batch
from tweezer.v1 import batch_service_pb2_grpc as batch_grpc
from tweezer.v1 import device_service_pb2 as device
from tweezer.v1 import device_service_pb2_grpc as device_grpc
from tweezer.v1 import job_service_pb2 as job
from tweezer.v1 import job_service_pb2_grpc as job_grpc

CONTRACT = Path(__file__).parents[2] / "contract"

PROJECT = "00000000-0000-0000-0000-000000000001"
BATCH = "00000000-0000-0000-0000-000000000002"
JOB = "00000000-0000-0000-0000-000000000003"

CREATED, STARTED, ENDED = (
    Timestamp(seconds=1736937000, nanos=123456000),  # 2025-01-15T10:30:00.123456Z
    Timestamp(seconds=1736937060),
    Timestamp(seconds=1736937300),
)


@dataclass
class Failure(Exception):
    """Makes a call fail with a bare gRPC status."""

    code: grpc.StatusCode
    text: str


@dataclass
class Call:
    """A call that a service got."""

    method: str
    request: Any
    metadata: Mapping[str, Any]
    seconds_left: float | None


def a_batch(**changes: Any) -> batch_pb2.Batch:
    """A batch as BatchService sends it, with every field set that a finished one has."""
    facts: dict[str, Any] = {
        "id": BATCH,
        "status": batch_pb2.BATCH_STATUS_DONE,
        "device_type": "FRESNEL",
        "user_id": "user-123",
        "project_id": PROJECT,
        "create_time": CREATED,
        "update_time": ENDED,
        "start_time": STARTED,
        "end_time": ENDED,
        "jobs_count": 3,
        "job_counts": batch_pb2.JobCounts(done=2, error=1),
        "tags": ["experiment-1"],
        "queue_priority": batch_pb2.QUEUE_PRIORITY_MEDIUM,
    }
    return batch_pb2.Batch(**{**facts, **changes})


def a_job(**changes: Any) -> job_pb2.Job:
    """A job as JobService sends it, with every field set that a finished one has."""
    facts: dict[str, Any] = {
        "id": JOB,
        "status": job_pb2.JOB_STATUS_DONE,
        "runs": 100,
        "batch_id": BATCH,
        "project_id": PROJECT,
        "user_id": "user-123",
        "create_time": CREATED,
        "update_time": ENDED,
        "start_time": STARTED,
        "end_time": ENDED,
        "variables_json": '{"omega":5}',
        "progress": 100,
        "creation_order": 1,
        "origin": job_pb2.JOB_ORIGIN_CLIENT,
    }
    return job_pb2.Job(**{**facts, **changes})


def _usual_answers() -> dict[str, Any]:
    pending = a_batch(
        status=batch_pb2.BATCH_STATUS_PENDING,
        open=True,
        start_time=None,
        end_time=None,
        jobs_count=1,
        job_counts=batch_pb2.JobCounts(pending=1),
        tags=[],
        sequence="<sequence>",
    )
    new_job = a_job(
        status=job_pb2.JOB_STATUS_PENDING,
        start_time=None,
        end_time=None,
        progress=0,
        creation_order=0,
    )
    specs = device_pb2.Device(
        id=PROJECT,
        device_type="EMU_FREE",
        status="UP",
        average_queue_time=12,
        max_atom_num=14,
        is_emulator=True,
        channels=["rydberg_global"],
        allowed_result_types=["counter"],
        default_result_types=["counter"],
        description="Emulator.",
        availability=device_pb2.DEVICE_AVAILABILITY_ACTIVE,
        public=True,
        specs='{"name":"x"}',
    )
    return {
        "CreateBatch": batch.CreateBatchResponse(batch=pending, jobs=[new_job]),
        "GetBatch": batch.GetBatchResponse(batch=a_batch(sequence="<sequence>", job_ids=[JOB])),
        "GetBatchStatus": batch.GetBatchStatusResponse(
            status=batch_pb2.BATCH_STATUS_RUNNING,
            job_counts=batch_pb2.JobCounts(done=1, running=1),
        ),
        "WatchBatch": [
            batch.WatchBatchResponse(
                status=batch_pb2.BATCH_STATUS_PENDING, job_counts=batch_pb2.JobCounts(pending=2)
            ),
            batch.WatchBatchResponse(
                status=batch_pb2.BATCH_STATUS_CANCELING,
                job_counts=batch_pb2.JobCounts(canceling=1, running=1),
            ),
            batch.WatchBatchResponse(
                status=batch_pb2.BATCH_STATUS_DONE, job_counts=batch_pb2.JobCounts(done=2)
            ),
        ],
        "ListBatches": batch.ListBatchesResponse(batches=[a_batch()], total_size=1),
        "GetJob": job.GetJobResponse(job=a_job(sequence="<built>")),
        "GetJobStatus": job.GetJobStatusResponse(status=job_pb2.JOB_STATUS_RUNNING),
        "ListJobs": job.ListJobsResponse(jobs=[a_job()], total_size=1),
        "GetResultLink": job.GetResultLinkResponse(ticket="t/i+c.k-et"),
        "GetResult": [
            job.GetResultResponse(chunk=b'{"counter":'),
            job.GetResultResponse(chunk=b'{"01":7},"raw":null}'),
        ],
        "ListLastActivity": batch.ListLastActivityResponse(
            projects=[batch.ProjectActivity(project_id=PROJECT, last_activity_time=CREATED)]
        ),
        "DownloadResult": [
            job.DownloadResultResponse(chunk=b'{"counter":'),
            job.DownloadResultResponse(chunk=b'{"01":7}}'),
        ],
        "AddJobs": batch.AddJobsResponse(batch=pending, jobs=[new_job]),
        "CloseBatch": batch.CloseBatchResponse(batch=a_batch(sequence="<sequence>")),
        "CancelBatch": batch.CancelBatchResponse(
            batch=a_batch(status=batch_pb2.BATCH_STATUS_CANCELING, sequence="<sequence>")
        ),
        "CancelBatches": batch.CancelBatchesResponse(
            batches=[a_batch(status=batch_pb2.BATCH_STATUS_CANCELED, sequence="<sequence>")],
            errors={JOB: "batch not found"},
        ),
        "RepeatBatch": batch.RepeatBatchResponse(
            batch=a_batch(id=JOB, parent_id=BATCH, sequence="<sequence>"),
            jobs=[a_job(id=PROJECT, parent_id=JOB, batch_id=JOB)],
        ),
        "SetBatchTags": batch.SetBatchTagsResponse(
            batch=a_batch(tags=["a", "b"], sequence="<sequence>")
        ),
        "CancelJob": job.CancelJobResponse(job=a_job(status=job_pb2.JOB_STATUS_CANCELED)),
        "CancelJobs": job.CancelJobsResponse(
            jobs=[a_job(status=job_pb2.JOB_STATUS_CANCELING)], errors={BATCH: "the job is DONE"}
        ),
        "ListDevices": device.ListDevicesResponse(devices=[specs], total_size=1),
        "ListPublicDevices": device.ListPublicDevicesResponse(devices=[specs], total_size=1),
        "GetDevice": device.GetDeviceResponse(device=specs),
        "ListQueue": device.ListQueueResponse(batches=[a_batch()], total_size=1),
        "IssueToken": account.IssueTokenResponse(
            access_token="a.b.c", lifetime=Duration(seconds=3600)
        ),
        "ListProjects": account.ListProjectsResponse(
            projects=[
                account.Project(
                    id=PROJECT, name="mine", queue_priority=batch_pb2.QUEUE_PRIORITY_HIGH
                )
            ]
        ),
    }


@dataclass
class Services:
    """What the services say and what they were asked.

    An answer is a message, a list or an async iterator of messages for a stream, an exception, or
    a function from the request to one of these, which may be a coroutine.
    """

    answers: dict[str, Any] = field(default_factory=_usual_answers)
    calls: list[Call] = field(default_factory=list)

    @property
    def last(self) -> Call:
        return self.calls[-1]

    async def stream(self, method: str, request: Any, context: Any) -> AsyncIterator[Any]:
        metadata = dict(context.invocation_metadata())
        self.calls.append(Call(method, request, metadata, context.time_remaining()))
        answer = self.answers[method]
        if callable(answer):
            answer = answer(request)
        if inspect.isawaitable(answer):
            answer = await answer
        if not hasattr(answer, "__aiter__"):
            answer = _each(answer if isinstance(answer, list) else [answer])
        async for part in answer:
            if isinstance(part, Failure):
                await context.abort(part.code, part.text)
            if isinstance(part, DomainError):
                await abort(context, status_of(part), part)
            if isinstance(part, Exception):
                raise part
            yield part


async def _each(parts: list[Any]) -> AsyncIterator[Any]:
    for part in parts:
        yield part


def _servicer(kind: type, services: Services, methods: Mapping[str, bool]) -> Any:
    """Returns a servicer whose methods ask `services`; the value tells whether one streams."""

    def unary(name: str) -> Callable[..., Any]:
        async def handle(_: Any, request: Any, context: Any) -> Any:
            return await anext(services.stream(name, request, context))

        return handle

    def stream(name: str) -> Callable[..., Any]:
        async def handle(_: Any, request: Any, context: Any) -> AsyncIterator[Any]:
            async for part in services.stream(name, request, context):
                yield part

        return handle

    handlers = {name: (stream if streams else unary)(name) for name, streams in methods.items()}
    return type(f"Fake{kind.__name__}", (kind,), handlers)()


def _methods(file: Any) -> dict[str, bool]:
    return {
        method.name: method.server_streaming
        for service in file.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }


class Server:
    """A gRPC server on a port of its own, that can be taken away."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self.server: grpc.aio.Server | None = None
        self.port = 0
        self.credentials: grpc.ServerCredentials | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Starts on any port, and on the same one when started again."""
        options = [("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", 64 << 20)]
        self.server = grpc.aio.server(options=options)
        for add, kind, file in (
            (batch_grpc.add_BatchServiceServicer_to_server, batch_grpc.BatchServiceServicer, batch),
            (job_grpc.add_JobServiceServicer_to_server, job_grpc.JobServiceServicer, job),
            (
                device_grpc.add_DeviceServiceServicer_to_server,
                device_grpc.DeviceServiceServicer,
                device,
            ),
            (
                account_grpc.add_AccountServiceServicer_to_server,
                account_grpc.AccountServiceServicer,
                account,
            ),
        ):
            add(_servicer(kind, self._services, _methods(file)), self.server)
        self.health = health.aio.HealthServicer()
        await self.health.set("", health_pb2.HealthCheckResponse.SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(self.health, self.server)
        if self.credentials is None:
            self.port = self.server.add_insecure_port(self.address)
        else:
            self.port = self.server.add_secure_port(self.address, self.credentials)
        await self.server.start()

    async def stop(self) -> None:
        if self.server is not None:
            await self.server.stop(None)
            self.server = None


@pytest.fixture
def services() -> Services:
    return Services()


@pytest.fixture
async def batch_server(services: Services) -> AsyncIterator[Server]:
    server = Server(services)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def job_server(services: Services) -> AsyncIterator[Server]:
    server = Server(services)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
def more_settings() -> dict[str, Any]:
    """Settings that a test module changes by overriding this fixture."""
    return {}


@pytest.fixture
def settings(
    batch_server: Server, job_server: Server, more_settings: dict[str, Any]
) -> GatewaySettings:
    facts: dict[str, Any] = {
        "batch_address": batch_server.address,
        "job_address": job_server.address,
        "gateway_port": 0,
    }
    return GatewaySettings(**{**facts, **more_settings})


@pytest.fixture
async def stubs(settings: GatewaySettings) -> AsyncIterator[Stubs]:
    async with open_stubs(settings) as stubs:
        yield stubs


@pytest.fixture
def stopping() -> asyncio.Event:
    """Set by tests of what happens while the process stops."""
    return asyncio.Event()


@pytest.fixture
async def client(
    settings: GatewaySettings, stubs: Stubs, stopping: asyncio.Event
) -> AsyncIterator[httpx.AsyncClient]:
    """Calls the application directly, with a token."""
    transport = httpx.ASGITransport(create_app(settings, stubs, stopping=stopping))
    async with httpx.AsyncClient(
        transport=transport,
        base_url="http://gateway.example",
        headers={"Authorization": "Bearer the-token"},
    ) as client:
        yield client


@pytest.fixture
async def server_port(settings: GatewaySettings) -> AsyncIterator[int]:
    """The port of the gateway served over the network by the real HTTP server."""
    stop = asyncio.Event()
    listening: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(serve(settings, stop, listening))
    yield await listening
    stop.set()
    await serving


@pytest.fixture(scope="session")
def contract() -> dict[str, Any]:
    text = (CONTRACT / "pasqal-cloud-api.yaml").read_text()
    return yaml.load(text, Loader=yaml.CSafeLoader)


@pytest.fixture(scope="session")
def required_keys(contract: dict[str, Any]) -> Callable[[str], set[str]]:
    """Gives the keys that an answer always has."""
    return lambda schema: {
        f["name"] for f in contract["schemas"][schema]["fields"] if f["required"]
    }


@pytest.fixture(scope="session")
def page_examples() -> dict[str, Any]:
    return yaml.safe_load((CONTRACT / "page_examples.yaml").read_text())


@pytest.fixture(scope="session")
def make_batch() -> Callable[..., batch_pb2.Batch]:
    return a_batch


@pytest.fixture(scope="session")
def make_job() -> Callable[..., job_pb2.Job]:
    return a_job


@pytest.fixture(scope="session")
def fails() -> type[Failure]:
    return Failure


@pytest.fixture
def in_thread() -> Callable[..., Any]:
    """Runs a blocking client beside the servers."""
    return asyncio.to_thread
