"""The guard in front of real servers: credentials, errors, the access table."""

import json
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2 as health
from grpc_health.v1 import health_pb2_grpc as health_grpc
from grpc_reflection.v1alpha import reflection_pb2 as reflection
from grpc_reflection.v1alpha import reflection_pb2_grpc as reflection_grpc
from grpc_status import rpc_status

from tweezer.internal.v1 import program_service_pb2 as program
from tweezer.internal.v1 import program_service_pb2_grpc as program_grpc
from tweezer.lifecycle import JobEvent, JobStatus, after
from tweezer.rpc import errors
from tweezer.rpc.access import ACCESS
from tweezer.rpc.channel import open_service_channel
from tweezer.rpc.identity import current_caller
from tweezer.rpc.server import build_server, start_server
from tweezer.rpc.settings import RpcSettings
from tweezer.v1 import batch_service_pb2 as batch
from tweezer.v1 import batch_service_pb2_grpc as batch_grpc
from tweezer.v1 import device_service_pb2 as device
from tweezer.v1 import device_service_pb2_grpc as device_grpc
from tweezer.v1 import operator_service_pb2 as operator
from tweezer.v1 import operator_service_pb2_grpc as operator_grpc


def failure_behind(code: grpc.StatusCode) -> Exception:
    """What a call to another service raises."""
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), "10.0.0.1 says no")


RAISED: dict[str, Exception] = {
    "not found": errors.NotFound("batch x not found"),
    "invalid": errors.InvalidInput("jobs[3].variables.omega", "a number is needed"),
    "state": errors.NotAllowedNow("the batch is closed"),
    "much": errors.TooMuch("too many batches"),
    "away": errors.Unavailable("not there"),
    "bug": ValueError("secret"),
    "behind: away": failure_behind(grpc.StatusCode.UNAVAILABLE),
    "behind: slow": failure_behind(grpc.StatusCode.DEADLINE_EXCEEDED),
    "behind: stops": failure_behind(grpc.StatusCode.CANCELLED),
    "behind: bug": failure_behind(grpc.StatusCode.INTERNAL),
}

NOT_AVAILABLE = "a part of the system is not available at present"


class Batches(batch_grpc.BatchServiceServicer):
    async def GetBatch(self, request: Any, context: Any) -> batch.GetBatchResponse:
        if request.batch_id == "illegal":
            after(JobStatus.DONE, JobEvent.CANCEL)
        if request.batch_id in RAISED:
            raise RAISED[request.batch_id]
        response = batch.GetBatchResponse()
        response.batch.user_id = current_caller().user_id
        response.batch.project_id = ",".join(sorted(current_caller().project_ids))
        return response

    async def WatchBatch(self, request: Any, context: Any) -> AsyncIterator[Any]:
        yield batch.WatchBatchResponse()
        raise errors.NotFound("gone")

    async def CreateBatch(self, request: Any, context: Any) -> Any:
        raise AssertionError

    async def GetBatchStatus(self, request: Any, context: Any) -> Any:
        raise AssertionError

    async def ListBatches(self, request: Any, context: Any) -> Any:
        raise AssertionError


class Operations(operator_grpc.OperatorServiceServicer):
    async def PauseBatch(self, request: Any, context: Any) -> operator.PauseBatchResponse:
        return operator.PauseBatchResponse()


class Devices(device_grpc.DeviceServiceServicer):
    async def ListDevices(self, request: Any, context: Any) -> Any:
        raise AssertionError

    async def ListPublicDevices(self, request: Any, context: Any) -> Any:
        return device.ListPublicDevicesResponse(total_size=1)


class Programs(program_grpc.ProgramServiceServicer):
    async def GetProgram(self, request: Any, context: Any) -> Any:
        return program.GetProgramResponse(sequence="s")

    async def BuildProgram(self, request: Any, context: Any) -> Any:
        raise AssertionError


class Stack:
    """A server behind the guard, and what is needed to call it."""

    def __init__(self, settings: RpcSettings, address: str, key: Ed25519PrivateKey) -> None:
        self.settings, self.address, self._key = settings, address, key
        self.channel = grpc.aio.insecure_channel(address)
        self.batches = batch_grpc.BatchServiceStub(self.channel)

    def token(self, **changes: Any) -> str:
        now = int(time.time())
        claims = {
            "iss": "tweezer",
            "aud": "tweezer",
            "sub": "ada",
            "iat": now,
            "exp": now + 60,
            "projects": ["p1", "p2"],
        }
        key = changes.pop("key", self._key)
        headers = {"kid": changes.pop("kid", "k1")}
        algorithm = changes.pop("algorithm", "EdDSA")
        claims = {k: v for k, v in (claims | changes).items() if v is not None}
        return jwt.encode(claims, key, algorithm=algorithm, headers=headers)

    async def get(self, batch_id: str = "ok", token: str | None = None) -> batch.GetBatchResponse:
        token = self.token() if token is None else token
        return await self.batches.GetBatch(
            batch.GetBatchRequest(batch_id=batch_id),
            metadata=[("authorization", f"Bearer {token}")],
        )


def _write_jwks(path: Path, **keys: Ed25519PrivateKey) -> None:
    algorithm = jwt.get_algorithm_by_name("EdDSA")
    entries = [
        json.loads(algorithm.to_jwk(key.public_key())) | {"kid": name, "alg": "EdDSA"}
        for name, key in keys.items()
    ]
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text(json.dumps({"keys": entries}))


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    settings = RpcSettings(data_dir=tmp_path)
    key = Ed25519PrivateKey.generate()
    _write_jwks(settings.jwks_file, k1=key)
    server = build_server(settings)
    batch_grpc.add_BatchServiceServicer_to_server(Batches(), server)
    device_grpc.add_DeviceServiceServicer_to_server(Devices(), server)
    operator_grpc.add_OperatorServiceServicer_to_server(Operations(), server)
    program_grpc.add_ProgramServiceServicer_to_server(Programs(), server)
    port = await start_server(server, "127.0.0.1:0", ["tweezer.v1.BatchService"])
    stack = Stack(settings, f"127.0.0.1:{port}", key)
    yield stack
    await stack.channel.close()
    await server.stop(None)


async def test_the_caller_is_read_from_the_token(stack: Stack) -> None:
    response = await stack.get()
    assert (response.batch.user_id, response.batch.project_id) == ("ada", "p1,p2")


@pytest.mark.parametrize(
    ("batch_id", "code", "text"),
    [
        ("not found", "NOT_FOUND", "batch x not found"),
        ("invalid", "INVALID_ARGUMENT", "jobs[3].variables.omega: a number is needed"),
        ("state", "FAILED_PRECONDITION", "the batch is closed"),
        ("illegal", "FAILED_PRECONDITION", "cannot cancel a job that is DONE"),
        ("much", "RESOURCE_EXHAUSTED", "too many batches"),
        ("away", "UNAVAILABLE", "not there"),
        ("bug", "INTERNAL", "internal error"),
        ("behind: away", "UNAVAILABLE", NOT_AVAILABLE),
        ("behind: slow", "DEADLINE_EXCEEDED", NOT_AVAILABLE),
        ("behind: stops", "UNAVAILABLE", NOT_AVAILABLE),
        ("behind: bug", "INTERNAL", "internal error"),
    ],
)
async def test_errors_become_statuses(stack: Stack, batch_id: str, code: str, text: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stack.get(batch_id)
    assert (caught.value.code().name, caught.value.details()) == (code, text)


async def test_invalid_input_names_the_field_in_the_details(stack: Stack) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stack.get("invalid")
    status = rpc_status.from_call(caught.value)
    bad_request = error_details_pb2.BadRequest()
    assert status is not None
    assert status.details[0].Unpack(bad_request)
    violation = bad_request.field_violations[0]
    assert violation.field == "jobs[3].variables.omega"
    assert violation.description == "a number is needed"


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": int(time.time()) - 10},
        {"aud": "other"},
        {"iss": "other"},
        {"sub": None},
        {"exp": None},
        {"kid": "k2"},
        {"key": Ed25519PrivateKey.generate()},
        {"key": "secret" * 8, "algorithm": "HS256"},
        {"key": None, "algorithm": "none"},
        {"projects": "p1"},
    ],
    ids=lambda changes: next(iter(changes)) + str(changes.get("algorithm", "")),
)
async def test_bad_tokens_are_refused(stack: Stack, changes: dict[str, Any]) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stack.get(token=stack.token(**changes))
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer ", "Bearer x", "Basic eDp5"])
async def test_other_credentials_are_refused(stack: Stack, authorization: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stack.batches.GetBatch(
            batch.GetBatchRequest(), metadata=[("authorization", authorization)]
        )
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_a_token_is_refused_once_it_has_expired(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A verified token is remembered; being remembered must not outlive the expiry."""
    token = stack.token()
    await stack.get(token=token)
    later = datetime.now(UTC) + timedelta(minutes=2)
    monkeypatch.setattr(time, "time", later.timestamp)
    monkeypatch.setattr("jwt.api_jwt.datetime", SimpleNamespace(now=lambda tz: later))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stack.get(token=token)
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_rotated_keys_are_read_again(stack: Stack) -> None:
    await stack.get()
    new = Ed25519PrivateKey.generate()
    _write_jwks(stack.settings.jwks_file, k2=new)
    await stack.get(token=stack.token(key=new, kid="k2", sub="bob"))


async def test_streams_are_guarded_too(stack: Stack) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        _ = [r async for r in stack.batches.WatchBatch(batch.WatchBatchRequest())]
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    metadata = [("authorization", f"Bearer {stack.token()}")]
    call = stack.batches.WatchBatch(batch.WatchBatchRequest(), metadata=metadata)
    assert await call.read() == batch.WatchBatchResponse()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call.read()
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_open_calls_need_no_credential(stack: Stack) -> None:
    stub = device_grpc.DeviceServiceStub(stack.channel)
    response = await stub.ListPublicDevices(device.ListPublicDevicesRequest())
    assert response.total_size == 1


async def test_health_can_be_watched(stack: Stack) -> None:
    call = health_grpc.HealthStub(stack.channel).Watch(health.HealthCheckRequest())
    assert (await call.read()).status == health.HealthCheckResponse.SERVING
    call.cancel()


async def test_services_can_be_listed_by_reflection(stack: Stack) -> None:
    stub = reflection_grpc.ServerReflectionStub(stack.channel)
    call = stub.ServerReflectionInfo(iter([reflection.ServerReflectionRequest(list_services="")]))
    response = await call.read()
    names = {service.name for service in response.list_services_response.service}
    assert "tweezer.v1.BatchService" in names
    call.cancel()


@pytest.mark.parametrize("claim", [None, False, "true", 1])
async def test_operator_calls_do_not_exist_for_others(stack: Stack, claim: object) -> None:
    stub = operator_grpc.OperatorServiceStub(stack.channel)
    metadata = [("authorization", f"Bearer {stack.token(operator=claim)}")]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.PauseBatch(operator.PauseBatchRequest(), metadata=metadata)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_operators_may_call_them(stack: Stack) -> None:
    stub = operator_grpc.OperatorServiceStub(stack.channel)
    metadata = [("authorization", f"Bearer {stack.token(operator=True)}")]
    response = await stub.PauseBatch(operator.PauseBatchRequest(), metadata=metadata)
    assert response == operator.PauseBatchResponse()


async def test_internal_calls_need_the_service_credential(stack: Stack) -> None:
    request = program.GetProgramRequest(program_hash="h")
    stub = program_grpc.ProgramServiceStub(stack.channel)
    for authorization in (f"Bearer {stack.token()}", "Service wrong", "Service "):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.GetProgram(request, metadata=[("authorization", authorization)])
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    async with open_service_channel(stack.settings, stack.address) as channel:
        response = await program_grpc.ProgramServiceStub(channel).GetProgram(request)
        assert response.sequence == "s"


async def test_the_service_credential_opens_no_public_call(stack: Stack) -> None:
    async with open_service_channel(stack.settings, stack.address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await batch_grpc.BatchServiceStub(channel).GetBatch(batch.GetBatchRequest())
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_the_service_key_is_readable_by_its_owner_only(stack: Stack) -> None:
    assert stack.settings.service_key_file.stat().st_mode & 0o777 == 0o600


async def test_an_rpc_that_is_not_in_the_table_is_refused(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    reduced = {k: v for k, v in ACCESS.items() if not k.endswith("/GetBatch")}
    monkeypatch.setattr("tweezer.rpc.guard.ACCESS", reduced)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stack.get()
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
