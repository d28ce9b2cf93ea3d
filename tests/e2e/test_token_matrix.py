"""Every HTTP operation with bad credentials, and what is somebody else's over HTTP and gRPC."""

import re
import uuid
from typing import Any

import grpc
import httpx
import pytest
from forged_tokens import Forge
from google.protobuf import message_factory
from pulser import Pulse, Register, Sequence
from pulser.devices import AnalogDevice

from tweezer.gateway.access import ACCESS, Access
from tweezer.identity.settings import IdentitySettings
from tweezer.rpc.access import ACCESS as RPC_ACCESS
from tweezer.rpc.access import Access as RpcAccess
from tweezer.v1 import batch_service_pb2, job_service_pb2

pytestmark = pytest.mark.slow


def flash() -> str:
    sequence = Sequence(Register({"q0": (0, 0)}).with_automatic_layout(AnalogDevice), AnalogDevice)
    sequence.declare_channel("rydberg", "rydberg_global")
    sequence.add(Pulse.ConstantPulse(100, 1.0, 0.0, 0.0), "rydberg")
    sequence.measure("ground-rydberg")
    return sequence.to_abstract_repr()


SEQUENCE = flash()
CLOSED = sorted(key for key, access in ACCESS.items() if access is not Access.ANYBODY)
JOBS = [{"runs": 1}]


def body_of(method: str, path: str, batch_id: str, project_id: str) -> Any:
    """Returns a body that is accepted, so that it is the caller who is refused."""
    new_batch = {
        "project_id": project_id,
        "sequence_builder": SEQUENCE,
        "device_type": "EMU_FREE",
        "jobs": JOBS,
    }
    return {
        ("POST", "/api/v1/batches"): new_batch,
        ("POST", "/api/v1/third-party-access/ovh/batches"): new_batch,
        ("POST", "/api/v1/jobs"): {"batch_id": batch_id, "project_id": project_id, "runs": 1},
        ("POST", "/api/v2/batches/{batch_id}/jobs"): JOBS,
        ("POST", "/api/v1/batches/{batch_id}/jobs"): JOBS,
        ("PATCH", "/api/v1/batches/{batch_id}/tags"): ["t"],
        ("PATCH", "/api/v1/batches/cancel"): {"batch_ids": [batch_id]},
    }.get((method, path), {} if method == "POST" else None)


def request(
    api: httpx.Client, operation: tuple[str, str], headers: dict[str, str], ids: dict[str, str]
) -> httpx.Response:
    method, path = operation
    filled = re.sub(
        r"{(\w+)}", lambda m: ids["job" if m[1] == "job_id" else "batch"]
        if m[1] in ("batch_id", "job_id") else "EMU_FREE", path,
    )  # fmt: skip
    body = body_of(method, path, ids["batch"], ids["project"])
    if path == "/api/v1/batches/{batch_id}/events":
        with api.stream(method, filled, headers=headers) as answer:
            if answer.status_code != 200:
                answer.read()
            return answer
    return api.request(method, filled, headers=headers, json=body)


@pytest.fixture(scope="module")
def theirs(stack: Any) -> dict[str, str]:
    """A batch of the first user."""
    with stack.api() as api:
        made = api.post(
            "/api/v1/batches",
            json={
                "project_id": stack.facts["project_id"],
                "sequence_builder": SEQUENCE,
                "device_type": "EMU_FREE",
                "open": True,
                "jobs": JOBS,
            },
        ).raise_for_status()
    batch = made.json()["data"]
    return {
        "batch": batch["id"],
        "job": batch["jobs"][0]["id"],
        "project": stack.facts["project_id"],
    }


@pytest.fixture(scope="module")
def forge(stack: Any) -> Forge:
    return Forge(IdentitySettings(data_dir=stack.data_dir))


@pytest.fixture
def root(stack: Any) -> Any:
    with httpx.Client(
        base_url=stack.facts["core"].removesuffix("/core-fast"), trust_env=False, timeout=30
    ) as client:
        yield client


def test_bad_credentials_open_no_http_operation(root: Any, forge: Forge, theirs: dict[str, str]):
    bad = forge.bad_credentials(projects=[theirs["project"]])
    let_in: dict[Any, str] = {}
    for operation in CLOSED:
        answers = set()
        for name, credential in bad.items():
            headers = {} if credential is None else {"Authorization": credential.strip()}
            answer = request(root, operation, headers, theirs)
            if answer.status_code != 401:
                let_in[name, *operation] = answer.text
                continue
            assert answer.headers["www-authenticate"] == "Bearer"
            answers.add(answer.json()["data"]["description"])
        assert answers <= {
            "a bearer token is needed",
            "the token is not valid",
            "the token has expired",
        }
    assert let_in == {}
    with_it = {"Authorization": f"Bearer {forge.token(projects=[theirs['project']])}"}
    found = request(root, ("GET", "/api/v2/batches/{batch_id}"), with_it, theirs)
    assert found.status_code == 200, "the forge makes no good tokens"
    assert found.json()["data"]["status"] in ("PENDING", "RUNNING", "DONE")


def test_what_is_somebody_elses_looks_like_what_does_not_exist(
    root: Any, forge: Forge, theirs: dict[str, str]
):
    token = forge.token(sub="stranger", projects=[str(uuid.uuid4())], operator=None)
    headers = {"Authorization": f"Bearer {token}"}
    unknown = {name: str(uuid.uuid4()) for name in theirs}
    compared = 0
    other: dict[Any, str] = {}
    for operation in CLOSED:
        method, path = operation
        named = "{batch_id}" in path or "{job_id}" in path
        if not named and body_of(method, path, "b", "p") in (None, {}):
            continue
        foreign, missing = (request(root, operation, headers, ids) for ids in (theirs, unknown))
        assert foreign.status_code == missing.status_code, operation
        assert neutral(foreign.text, theirs) == neutral(missing.text, unknown), operation
        if named and foreign.status_code != 404:
            other[operation] = foreign.text
        compared += 1
    assert compared > 25
    assert other == {}


def neutral(text: str, ids: dict[str, str]) -> str:
    for name, value in ids.items():
        text = text.replace(value, f"<{name}>")
    return re.sub(r'"(request_id|timestamp)": ?"[^"]*"', "", text)


def rpcs() -> list[Any]:
    """Returns the RPCs for users that name a batch, a job or a project."""
    found = []
    for file in (batch_service_pb2, job_service_pb2):
        for service in file.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                fields = set(method.input_type.fields_by_name) & {"batch_id", "job_id"}
                access = RPC_ACCESS[f"/{service.full_name}/{method.name}"]
                if access is RpcAccess.USER and fields:
                    found.append(method)
    return found


async def test_the_same_over_grpc(stack: Any, forge: Forge, theirs: dict[str, str]):
    token = forge.token(sub="stranger", projects=[str(uuid.uuid4())], operator=None)
    unknown = {name: str(uuid.uuid4()) for name in theirs}
    addresses = stack.facts["grpc"]
    methods = rpcs()
    assert len(methods) > 10
    async with (
        grpc.aio.insecure_channel(addresses["batch"]) as batch,
        grpc.aio.insecure_channel(addresses["job"]) as job,
    ):
        for method in methods:
            service = method.containing_service
            channel = batch if service.name == "BatchService" else job
            seen = [
                await refusal(channel, method, ids, (("authorization", f"Bearer {token}"),))
                for ids in (theirs, unknown)
            ]
            assert seen[0] == seen[1], method.full_name
            assert seen[0][0] is grpc.StatusCode.NOT_FOUND, f"{method.full_name}: {seen[0]}"


async def refusal(
    channel: grpc.aio.Channel, method: Any, ids: dict[str, str], metadata: Any
) -> tuple[Any, str]:
    kind = message_factory.GetMessageClass(method.input_type)
    message = kind()
    for field, name in (("batch_id", "batch"), ("job_id", "job")):
        if field in method.input_type.fields_by_name:
            setattr(message, field, ids[name])
    if "jobs" in method.input_type.fields_by_name:
        message.jobs.add(runs=1)
    path = f"/{method.containing_service.full_name}/{method.name}"
    serialized = message.SerializeToString()
    try:
        if method.server_streaming:
            async for _ in channel.unary_stream(path)(serialized, metadata=metadata):
                return "answered", ""
            return "ended", ""
        await channel.unary_unary(path)(serialized, metadata=metadata)
    except grpc.aio.AioRpcError as error:
        return error.code(), neutral(error.details() or "", ids)
    return "answered", ""
