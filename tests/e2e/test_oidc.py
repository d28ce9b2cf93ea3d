"""Users of an OIDC provider: a certified one on loopback, the whole stack, the public client."""

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import httpx
import pytest
from oidc_provider import AUDIENCE, CLIENT, Provider, running_provider
from pasqal_cloud.authentication import TokenProviderError
from pasqal_cloud.endpoints import Endpoints, TokenProviderConf
from pasqal_cloud.pasqal_cloud_client import PasqalCloudClient
from pulser import Pulse, Register, Sequence
from pulser.devices import AnalogDevice

from tweezer.v1.account_service_pb2 import ListProjectsRequest
from tweezer.v1.account_service_pb2_grpc import AccountServiceStub
from tweezer.v1.batch_service_pb2 import ListBatchesRequest
from tweezer.v1.batch_service_pb2_grpc import BatchServiceStub
from tweezer.v1.job_service_pb2 import ListJobsRequest
from tweezer.v1.job_service_pb2_grpc import JobServiceStub

pytestmark = pytest.mark.slow

PROJECT = "5d1a6df0-52be-4f4f-9bd5-17cd4a7ae0c3"

PEOPLE = {
    "ada": {
        "password": "ada's word",
        "sub": "op|ada",
        "claims": {"ext": {"projects": [PROJECT]}},
    },
    "eve": {"password": "eve's word", "sub": "op|eve", "claims": {}},
    "boss": {
        "password": "the boss's word",
        "sub": "op|boss",
        "claims": {"realm_access": {"roles": ["offline", "tweezer-operator"]}},
    },
}


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    with running_provider(tmp_path_factory.mktemp("provider"), PEOPLE) as provider:
        yield provider


@pytest.fixture(scope="module")
def stack(
    provider: Provider, start_stack: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> Any:
    return start_stack(
        tmp_path_factory.mktemp("oidc") / "data",
        "--workers",
        "1",
        TWEEZER_OIDC_ISSUER=provider.issuer,
        TWEEZER_OIDC_AUDIENCE=AUDIENCE,
        TWEEZER_OIDC_PROJECTS_CLAIM="ext.projects",
        TWEEZER_OIDC_OPERATOR_CLAIM="realm_access.roles",
        TWEEZER_MEMBERSHIP_CACHE_S="0.01",
        NO_PROXY="127.0.0.1",
    )


def token_of(provider: Provider, name: str) -> str:
    fields = {
        "grant_type": "password",
        "client_id": CLIENT,
        "username": name,
        "password": PEOPLE[name]["password"],
    }
    answer = httpx.post(f"{provider.issuer}/token", data=fields, trust_env=False)
    return answer.raise_for_status().json()["access_token"]


def client_of(stack: Any, provider: Provider, name: str, project: str) -> PasqalCloudClient:
    return PasqalCloudClient(
        username=name,
        password=PEOPLE[name]["password"],
        project_id=project,
        endpoints=Endpoints(core=stack.facts["core"], account=stack.facts["account"]),
        auth_config=TokenProviderConf(
            token_endpoint=f"{provider.issuer}/token",
            public_client_id=CLIENT,
            audience=AUDIENCE,
            realm="lab",
            grant_type="password",
        ),
    )


def flash() -> str:
    sequence = Sequence(Register({"q0": (0, 0)}).with_automatic_layout(AnalogDevice), AnalogDevice)
    sequence.declare_channel("rydberg", "rydberg_global")
    sequence.add(Pulse.ConstantPulse(100, 1.0, 0.0, 0.0), "rydberg")
    sequence.measure("ground-rydberg")
    return sequence.to_abstract_repr()


def test_the_public_client_runs_a_batch_with_the_providers_token(stack: Any, provider: Provider):
    client = client_of(stack, provider, "ada", PROJECT)
    batch = client.create_batch(
        serialized_sequence=flash(), jobs=[{"runs": 20}], device_type="EMU_FREE", wait=True
    )
    assert batch.status == "DONE"
    assert sum(batch.ordered_jobs[0].result.values()) == 20
    assert client.get_batch(batch.id).project_id == PROJECT
    assert "/.well-known/openid-configuration" in provider.fetched


def test_the_client_hears_of_a_wrong_password_from_the_provider(stack: Any, provider: Provider):
    conf = TokenProviderConf(
        token_endpoint=f"{provider.issuer}/token",
        public_client_id=CLIENT,
        audience=AUDIENCE,
        realm="lab",
        grant_type="password",
    )
    with pytest.raises(TokenProviderError, match="wrong password"):
        PasqalCloudClient(
            username="ada", password="guess", project_id=PROJECT,
            endpoints=Endpoints(core=stack.facts["core"], account=stack.facts["account"]),
            auth_config=conf,
        )  # fmt: skip


async def test_grpc_takes_the_same_token(stack: Any, provider: Provider):
    metadata = [("authorization", f"Bearer {token_of(provider, 'ada')}")]
    async with (
        grpc.aio.insecure_channel(stack.facts["grpc"]["batch"]) as batch,
        grpc.aio.insecure_channel(stack.facts["grpc"]["job"]) as job,
    ):
        listed = await AccountServiceStub(batch).ListProjects(
            ListProjectsRequest(), metadata=metadata
        )
        assert [project.id for project in listed.projects] == [PROJECT]
        batches = await BatchServiceStub(batch).ListBatches(ListBatchesRequest(), metadata=metadata)
        assert {b.user_id for b in batches.batches} <= {"op|ada"}
        await JobServiceStub(job).ListJobs(ListJobsRequest(), metadata=metadata)


def test_users_whose_tokens_name_no_project_get_theirs_with_the_commands(
    stack: Any, provider: Provider, run_command: Callable[..., Any]
):
    def tweezer(*words: str) -> str:
        # The token of an operator of the provider's: there is no need of the first user.
        answer = run_command(
            "tweezer", *words, "--data-dir", str(stack.data_dir),
            TWEEZER_TOKEN=token_of(provider, "boss"),
        )  # fmt: skip
        assert answer.returncode == 0, answer.stderr
        return str(answer.stdout).strip()

    with stack.api(token_of(provider, "eve")) as api:
        assert api.get("/api/v2/jobs").json()["data"] == []
    project = tweezer("projects", "add", "eve's", "--priority", "high").rpartition(" ")[2]
    tweezer("users", "add", "eve", "--external-id", "op|eve")
    tweezer("projects", "add-member", project, "eve")
    assert "eve's (member)" in tweezer("users", "list")
    client = client_of(stack, provider, "eve", project)
    batch = client.create_batch(
        serialized_sequence=flash(), jobs=[{"runs": 5}], device_type="EMU_FREE", wait=True
    )
    assert batch.status == "DONE"
    tweezer("projects", "remove-member", project, "eve")
    with stack.api(token_of(provider, "eve")) as api:
        assert api.get(f"/api/v1/batches/{batch.id}").status_code == 404


def test_a_token_that_was_tampered_with_is_refused(stack: Any, provider: Provider):
    head, claims, signature = token_of(provider, "eve").split(".")
    wanted = json.loads(base64.urlsafe_b64decode(claims + "=="))
    wanted["ext"] = {"projects": [PROJECT]}
    forged = base64.urlsafe_b64encode(json.dumps(wanted).encode()).rstrip(b"=").decode()
    with stack.api(f"{head}.{forged}.{signature}") as api:
        assert api.get("/api/v2/jobs").status_code == 401
